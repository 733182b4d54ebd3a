//! k-means, whose workers meet once per iteration, while members are killed.

use std::time::{Duration, Instant};

use catena_engine::Engine;
use catena_kmeans::data::{DataSet, Hints};
use catena_kmeans::generate::Recipe;
use catena_kmeans::init::Init;
use catena_kmeans::job::{Job, Labels, RunSummary, WorkerEvent};
use catena_kmeans::link::EngineLink;
use catena_kmeans::{Settings, threads};

use crate::cluster::Cluster;

const ITERATIONS: u64 = 80;

/// The head is killed, then the tail, then both rejoin, while four workers run: the run ends without an
/// error, and its centroids are bit for bit those of an undisturbed run.
#[test]
fn k_means_ends_with_the_right_centroids() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("points.npy");
    let recipe = Recipe { points: 400_000, dims: 10, clusters: 25, spread: 10.0, seed: 1 };
    recipe.write(&path).unwrap();
    let data = DataSet::open(&path, Hints::default()).unwrap();

    let alone = Engine::builder().start().unwrap();
    let undisturbed = run(&data, &alone.addresses()[0].to_string(), &mut |_| {});

    let mut cluster = Cluster::new(3);
    let (mut rounds, seeds) = (0, cluster.seeds());
    let (begun, mut all_happened) = (Instant::now(), None);
    let disturbed = run(&data, &seeds, &mut |event| {
        let WorkerEvent::Round(_) = event else { return };
        rounds += 1;
        // Each round is reported by all four workers.
        match rounds {
            20 => kill(&mut cluster, 0),
            60 => kill(&mut cluster, 1),
            100 => {
                for at in 0..3 {
                    if cluster.record().chain().iter().all(|it| cluster.index_of(it) != Some(at)) {
                        cluster.revive(at);
                    }
                }
                cluster.await_members(3);
                all_happened = Some(begun.elapsed());
            }
            _ => {}
        }
    });
    let (all_happened, total) = (all_happened.unwrap(), disturbed.seconds_total);
    assert!(
        all_happened.as_secs_f64() < total,
        "it ended before the last fault, at {all_happened:?}"
    );
    let bits = |summary: &RunSummary| -> Vec<u64> {
        summary.done.centroids.iter().map(|number| number.to_bits()).collect()
    };
    assert_eq!(bits(&disturbed), bits(&undisturbed));
    println!(
        "k-means: {} iterations, undisturbed {:.2} s, with two kills and two joins by {all_happened:.2?} \
         {total:.2} s, the same centroids",
        disturbed.done.iterations, undisturbed.seconds_total
    );
}

/// Kills the member at this position of the chain, and waits until the others have removed it.
fn kill(cluster: &mut Cluster, position: usize) {
    let chain = cluster.record().chain();
    let at = cluster.index_of(&chain[position]).unwrap();
    cluster.kill(at);
    cluster.await_members(chain.len() - 1);
}

fn run(data: &DataSet, engine: &str, on_event: &mut dyn FnMut(&WorkerEvent)) -> RunSummary {
    let job = Job {
        name: "faults/k-means".to_owned(),
        engine: engine.to_owned(),
        data: data.clone(),
        settings: Settings {
            k: 25,
            iterations: ITERATIONS,
            // Never satisfied, so that it has all iterations.
            tolerance: 0.0,
            init: Init::Random,
            seed: 1,
            timeout: Duration::from_secs(60),
            ..Settings::default()
        },
        workers: 4,
        labels: Labels::None,
        sample: false,
        prepared: false,
        resumable: false,
    };
    threads::run(&job, EngineLink::join, on_event).unwrap()
}
