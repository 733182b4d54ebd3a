//! Results are those of scikit-learn, for plain, weighted, scaled and normalised points.

use std::path::Path;

use catena_kmeans::data::{DataSet, Hints};
use catena_kmeans::init::Init;
use catena_kmeans::job::{Job, RunSummary};
use catena_kmeans::link::EngineLink;
use catena_kmeans::silhouette::mean_silhouette;
use catena_kmeans::threads;
use serde_json::{Value, json};

use super::{Folder, engine, job};

/// The cases of the fixture, with what ours makes of each. Of ties, scikit-learn lets rounding decide.
fn each_case(mut check: impl FnMut(&Value, bool, &RunSummary)) {
    let fixture: Value = serde_json::from_str(include_str!("../sklearn.json")).unwrap();
    let folder = Folder::new();
    let (_engine, address) = engine();
    for (at, case) in fixture["cases"].as_array().unwrap().iter().enumerate() {
        let number = |field: &str| case[field].as_u64().unwrap();
        let mut job = Job {
            name: format!("test/{at}"),
            ..job(data(case, &folder), usize::try_from(number("k")).unwrap(), &address)
        };
        job.settings.iterations = number("max_iterations");
        job.settings.scale = serde_json::from_value(case["scale"].clone()).unwrap();
        job.settings.distance = serde_json::from_value(case["distance"].clone()).unwrap();
        job.settings.init = Init::First;
        job.settings.drawn = 10_000;
        let summary = threads::run(&job, EngineLink::join, &mut |_| ()).unwrap();
        check(case, number("ties") > 0, &summary);
    }
}

fn data(case: &Value, folder: &Folder) -> DataSet {
    let Some(points) = case["points"].as_array() else { return DataSet::digits(None).unwrap() };
    let weights = case["weights"].as_array();
    let row = |(at, row): (usize, &Value)| {
        let weight = weights.map_or(String::new(), |weights| format!(",{}", weights[at]));
        format!("{}{weight}\n", row.to_string().replace(['[', ']'], ""))
    };
    let text: String = points.iter().enumerate().map(row).collect();
    let path = folder.file("points.csv", &text);
    let columns = points[0].as_array().unwrap().len();
    let weight_column = weights.map(|_| (columns + 1).to_string());
    let hints = Hints { weight_column, ..Hints::default() };
    DataSet::open(Path::new(&path), hints).unwrap()
}

#[test]
fn costs_are_those_of_scikit_learn() {
    each_case(|case, tied, summary| {
        let (done, cost) = (&summary.done, case["cost"].as_f64().unwrap());
        let tolerance = if tied { 1e-4 } else { 1e-9 };
        assert!((done.cost - cost).abs() <= tolerance * cost, "{}: {}", case["name"], done.cost);
        if !tied {
            assert_eq!(case["iterations"], done.iterations, "{}", case["name"]);
            assert_eq!(json!(done.counts), case["counts"], "{}", case["name"]);
        }
    });
}

#[test]
fn silhouettes_are_those_of_scikit_learn() {
    each_case(|case, tied, summary| {
        let expected = case["silhouette"].as_f64().unwrap();
        let got = mean_silhouette(&summary.sample).unwrap();
        let tolerance = if tied { 1e-2 } else { 1e-9 };
        assert!((got - expected).abs() <= tolerance, "{}: {got} {expected}", case["name"]);
    });
}
