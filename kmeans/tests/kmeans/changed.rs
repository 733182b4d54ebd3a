//! Scaled columns, weights, cosine distance and k-means||: the same bits for any number of workers, kept
//! by models, and clear refusals.

use std::fs;

use serde_json::{Value, json};

use super::{Folder, json, kmeans, text};

/// Rows of two columns of different units, a weight, and a name.
fn people(folder: &Folder) -> String {
    let row = |i: u32| {
        let (a, b) = (f64::from(i * 37 % 101) / 7.0, f64::from(i * 53 % 97) * 1000.0);
        format!("{a},{b},{},p{i}\n", f64::from(i % 5) * 0.3)
    };
    let rows: String = (1..200).map(row).collect();
    folder.file("people.csv", &format!("age,income,n,name\n{rows}"))
}

#[test]
fn workers_change_no_bit() {
    let folder = Folder::new();
    let path = people(&folder);
    for flags in [
        &["--scale", "standard"][..],
        &["--scale", "minmax", "--weight-column", "n"],
        &["--distance", "cosine", "--init", "kmeans||"],
        &["--weight-column", "n", "--init", "kmeans||"],
        &["--weight-column", "n", "--scale", "standard", "--distance", "cosine"],
    ] {
        let columns = ["--columns", "age,income", "--data", &path, "--k", "5", "--seed", "2"];
        let run = |rest: &[&str]| json(&[&columns[..], flags, rest].concat());
        let one = run(&["--workers", "1"]);
        for rest in [&["--workers", "4"][..], &["--workers", "3", "--backend", "processes"]] {
            let other = run(rest);
            for field in ["centroids", "cost", "sizes", "weights", "transform", "iterations"] {
                assert_eq!(other[field], one[field], "{flags:?}: {field}");
            }
        }
    }
}

#[test]
fn centroids_have_the_units_of_the_data_and_models_keep_the_scale() {
    let folder = Folder::new();
    let path = folder.file("a.csv", "x,y\n0,10\n0,20\n1000,10\n1000,20\n");
    let (model, labels) = (folder.path("model.json"), folder.path("labels.txt"));
    let run = ["--data", &path, "--k", "2", "--scale", "minmax", "--init"];
    let init = folder.file("init.csv", "500,11\n500,19\n");
    let run = [&run[..], &[&init, "--model", &model, "--assignments", &labels]].concat();
    let result = json(&run);
    assert_eq!(result["centroids"], json!([[500.0, 10.0], [500.0, 20.0]]));
    assert_eq!(result["cost"], 1.0);
    assert_eq!(result["transform"]["divisors"], json!([1000.0, 10.0]));
    let labels = fs::read_to_string(&labels).unwrap();
    assert_eq!(labels, "0\n1\n0\n1\n");
    let predict =
        |data: &str| text(&kmeans(&["predict", "--model", &model, "--data", data]).stdout);
    assert_eq!(predict(&path), labels);
    // Not by the scale of the other points.
    assert_eq!(predict(&folder.file("b.csv", "x,y\n700,14\n-900,16\n")), "0\n1\n");
    let saved: Value = serde_json::from_str(&fs::read_to_string(&model).unwrap()).unwrap();
    assert_eq!((&saved["version"], &saved["transform"]["scaling"]), (&2.into(), &"minmax".into()));
    let said = text(&kmeans(&[&["run"], &run[..7], &["first"][..]].concat()).stdout);
    assert!(said.contains("points: scaled to the range from 0 to 1; the cost is that of these"));
}

#[test]
fn directions_are_compared_by_angle() {
    let folder = Folder::new();
    let path = folder.file("a.csv", "1,0\n900,1\n0,5\n1,7000\n");
    let labels = folder.path("labels.txt");
    let model = folder.path("model.json");
    let cosine = ["--distance", "cosine", "--k", "2", "--data", &path];
    json(&[&cosine[..], &["--assignments", &labels, "--model", &model]].concat());
    let labels = fs::read_to_string(labels).unwrap();
    assert!(["0\n0\n1\n1\n", "1\n1\n0\n0\n"].contains(&&*labels), "{labels}");
    let predicted = text(&kmeans(&["predict", "--model", &model, "--data", &path]).stdout);
    assert_eq!(predicted, labels);
    let zero = folder.file("zero.csv", "1,2\n0,-0\n");
    let refused = |data: &str, init: &str| {
        let flags = ["--distance", "cosine", "--k", "2", "--data", data, "--init", init];
        text(&kmeans(&[&["run"], &flags[..]].concat()).stderr)
    };
    assert!(refused(&zero, "first").contains("point 2 is zero, so that it has no direction"));
    assert!(refused(&path, &zero).contains("initial centroid 2 is zero"));
}

#[test]
fn a_weight_counts_like_as_many_points() {
    let folder = Folder::new();
    let once = folder.file("w.csv", "x,n\n1,3\n2,1\n50,2\n60,0\n1000,0\n");
    let often = folder.file("o.csv", "x\n1\n1\n1\n2\n50\n50\n");
    let init = folder.file("init.csv", "0\n100\n");
    let run = ["--k", "2", "--init", &init];
    let weighted = json(&[&run[..], &["--data", &once, "--weight-column", "n"]].concat());
    let plain = json(&[&run[..], &["--data", &often]].concat());
    assert_eq!(weighted["cost"], plain["cost"]);
    assert_eq!(weighted["centroids"], json!([[1.25], [50.0]]));
    assert_eq!(weighted["sizes"], json!([2, 3]));
    assert_eq!(weighted["weights"], json!([4.0, 2.0]));
    assert_eq!(weighted["reading"]["weight_column"], "n");
    assert_eq!(weighted["columns"], json!(["x"]));
}

#[test]
fn weights_are_refused_in_one_clear_line() {
    let folder = Folder::new();
    for (text_of, expected) in [
        (
            "x,n\n1,1\n2,-1\n",
            "the weight of point 2 is -1; weights are numbers that are not negative",
        ),
        ("x,n\n1,0\n2,0\n", "all weights are 0; at least one point has to count"),
        ("x,n\n1,1\n2,\n", "row 2 (line 3): column 2: \"\" is a missing value"),
        ("x,n\n1,1\n2,inf\n", "column 2: inf is not a finite number"),
        ("n\n1\n2\n", "rows have no columns"),
        ("x,y\n1,1\n2,1\n", "there is no column \"n\""),
    ] {
        let path = folder.file("w.csv", text_of);
        for workers in ["1", "2"] {
            let run = ["run", "--k", "1", "--weight-column", "n", "--data", &path];
            let message = text(&kmeans(&[&run[..], &["--workers", workers]].concat()).stderr);
            assert!(message.contains(expected), "{message}");
        }
    }
    let points = folder.points();
    for flag in ["--weight-column", "--columns", "--id-column", "--label-column"] {
        let message = text(&kmeans(&["run", "--k", "1", "--data", &points, flag, "1"]).stderr);
        let expected = format!("{flag}: numbers in .npy and packed files have no columns");
        assert!(message.contains(&expected), "{message}");
    }
}

/// Both draw well: their costs are near each other on clusters that lie apart.
#[test]
fn few_rounds_of_drawing_find_clusters_that_lie_apart() {
    let folder = Folder::new();
    let path = folder.path("apart.npy");
    let recipe = ["--points", "4000", "--dims", "20", "--clusters", "8", "--spread", "1"];
    assert!(kmeans(&[&["generate", "--out", &path], &recipe[..]].concat()).status.success());
    let found = (0..12).filter(|seed| {
        let run = ["--data", &path, "--k", "8", "--init", "kmeans||", "--seed", &seed.to_string()];
        // The variance is 1 in each of 20 dimensions.
        json(&run)["cost"].as_f64().unwrap() < 1.1 * 80_000.0
    });
    let found = found.count();
    assert!(found >= 11, "{found} of 12");
    // Fewer distinct points than clusters, and as many clusters as points.
    let same = folder.file("same.csv", "1\n1\n1\n");
    for k in ["1", "2", "3"] {
        assert_eq!(json(&["--data", &same, "--k", k, "--init", "kmeans||"])["cost"], 0.0);
    }
    let three = folder.file("three.csv", "1\n5\n9\n");
    assert_eq!(json(&["--data", &three, "--k", "3", "--init", "kmeans||"])["cost"], 0.0);
}
