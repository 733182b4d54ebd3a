//! The algorithm is Lloyd's, and partitions, restarts and empty clusters change no bit.

use std::time::Duration;

use super::*;
use crate::coordination::{LocalGroup, LocalLink};
use crate::data::DataSet;
use crate::init::{Init, hash};
use crate::kernel::Precision;

const TIMEOUT: Duration = Duration::from_secs(20);

/// A link that fails at its `left`th call, before or after contributing.
struct Dying {
    link: LocalLink,
    left: u64,
    contributes: bool,
}

impl AllReduce for Dying {
    fn all_reduce(&mut self, phase: Phase, op: ReduceOp, values: &mut Vec<i64>) -> Result<()> {
        self.left -= 1;
        if self.left > 0 || self.contributes {
            self.link.all_reduce(phase, op, values)?;
        }
        if self.left > 0 { Ok(()) } else { Err(Error::Worker { message: "dead".into() }) }
    }

    fn last(&mut self, phase: Phase) -> Result<Option<(u64, Vec<i64>)>> {
        self.link.last(phase)
    }
}

fn settings(k: usize) -> Settings {
    Settings { k, iterations: 100, seed: 11, ..Settings::default() }
}

fn problem(settings: Settings, points: u64) -> Problem {
    Problem { settings, points, party: 0, parties: 1 }
}

fn cut<T: Element>(all: &Points<T>, party: u32, parties: u32) -> Points<T> {
    let at = |party: u32| all.rows() * party as usize / parties as usize;
    let values = all.values[at(party) * all.dims..at(party + 1) * all.dims].to_vec();
    let weights = all.weights.as_ref().map(|all| all[at(party)..at(party + 1)].to_vec());
    Points { first: all.first + at(party) as u64, dims: all.dims, values, missing: 0, weights }
}

/// Runs all parties; the last one dies at its `death`th call and is restarted.
fn run_parties<T: Element>(
    problem: &Problem,
    all: &Points<T>,
    parties: u32,
    death: Option<(u64, bool)>,
) -> LloydOutcome {
    let local = LocalGroup::new(parties, TIMEOUT);
    let outcomes: Vec<LloydOutcome> = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..parties)
            .map(|party| {
                let (mut link, local) = (local.join(party), &local);
                scope.spawn(move || {
                    let points = cut(all, party, parties);
                    let problem = Problem { party, parties, ..problem.clone() };
                    let resumes = match death {
                        Some((left, contributes)) if party == parties - 1 => {
                            let mut link = Dying { link: local.join(party), left, contributes };
                            run(
                                &problem,
                                &points,
                                Isa::detect(),
                                &mut link,
                                false,
                                &mut |_| Ok(()),
                            )
                            .expect_err("it dies");
                            true
                        }
                        _ => false,
                    };
                    run(&problem, &points, Isa::detect(), &mut link, resumes, &mut |_| Ok(()))
                        .unwrap()
                })
            })
            .collect();
        workers.into_iter().map(|worker| worker.join().unwrap()).collect()
    });
    let mut outcomes = outcomes.into_iter();
    let mut first = outcomes.next().unwrap();
    for mut other in outcomes {
        first.labels.append(&mut other.labels);
        other.labels.clone_from(&first.labels);
        assert_eq!(first, other);
    }
    first
}

fn digits<T: Element>() -> Points<T> {
    let precision = Some(Precision::F64);
    DataSet::digits(precision).unwrap().load(0..1_797).unwrap()
}

/// Lloyd's algorithm in its simplest form, until no label changes.
fn naive(points: &Points<f64>, mut centroids: Vec<f64>) -> (f64, Vec<usize>) {
    let dims = points.dims;
    let distance =
        |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| (a - b).powi(2)).sum::<f64>();
    let mut labels = Vec::new();
    loop {
        let nearest = |row: &[f64]| {
            let all = centroids.chunks_exact(dims).map(|c| distance(row, c)).enumerate();
            all.min_by(|a, b| a.1.total_cmp(&b.1)).unwrap()
        };
        let new: Vec<_> = points.values.chunks_exact(dims).map(nearest).collect();
        let cost = new.iter().map(|(_, distance)| distance).sum();
        let new: Vec<_> = new.into_iter().map(|(label, _)| label).collect();
        if new == labels {
            return (cost, labels);
        }
        labels = new;
        centroids.fill(0.0);
        let mut counts = vec![0.0; centroids.len() / dims];
        for (row, label) in points.values.chunks_exact(dims).zip(&labels) {
            counts[*label] += 1.0;
            centroids[label * dims..][..dims].iter_mut().zip(row).for_each(|(c, x)| *c += x);
        }
        for (centroid, count) in centroids.chunks_exact_mut(dims).zip(counts) {
            centroid.iter_mut().for_each(|c| *c /= count);
        }
    }
}

#[test]
fn it_is_lloyds() {
    let points = digits::<f64>();
    for k in [10, 25, 37] {
        let outcome = run_parties(
            &problem(Settings { init: Init::First, ..settings(k) }, 1_797),
            &points,
            1,
            None,
        );
        let (cost, labels) = naive(&points, points.values[..k * 64].to_vec());
        assert!(outcome.converged);
        assert!((outcome.cost - cost).abs() <= 1e-9 * cost, "{k}: {} {cost}", outcome.cost);
        assert!(outcome.labels.iter().zip(labels).all(|(a, b)| *a as usize == b), "{k}");
    }
}

#[test]
fn partitions_change_no_bit() {
    fn check<T: Element>() {
        let points = digits::<T>();
        for init in [Init::First, Init::Random, Init::PlusPlus, Init::Parallel] {
            let problem = problem(Settings { init, ..settings(13) }, 1_797);
            let one = run_parties(&problem, &points, 1, None);
            for parties in [2, 7] {
                assert_eq!(
                    run_parties(&problem, &points, parties, None),
                    one,
                    "{:?}",
                    problem.settings.init
                );
            }
        }
    }
    check::<f32>();
    check::<f64>();
}

#[test]
fn initial_centroids_are_data_values() {
    let points = digits::<f32>();
    for init in [Init::First, Init::Random, Init::PlusPlus, Init::Parallel] {
        let outcome = run_parties(
            &problem(Settings { init, iterations: 0, ..settings(5) }, 1_797),
            &points,
            3,
            None,
        );
        for centroid in outcome.centroids.chunks_exact(64) {
            let is = |row: &[f32]| row.iter().zip(centroid).all(|(x, c)| f64::from(*x) == *c);
            assert!(points.values.chunks_exact(64).any(is));
        }
        assert_eq!((outcome.iterations, outcome.converged), (0, false));
    }
}

/// Clusters that lie apart are found, from nearly every seed.
#[test]
fn kmeans_plus_plus_finds_clusters_that_lie_apart() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("points.npy");
    let recipe =
        crate::generate::Recipe { points: 4_000, dims: 20, clusters: 8, spread: 1.0, seed: 0 };
    recipe.write(&path).unwrap();
    let data = DataSet::open(&path, crate::data::Hints::default()).unwrap();
    let points: Points<f32> = data.load(0..4_000).unwrap();
    let found = (0..24).filter(|seed| {
        let settings = Settings { seed: *seed, ..settings(8) };
        // The variance is 1 in each of 20 dimensions.
        run_parties(&problem(settings, 4_000), &points, 1, None).cost < 1.1 * 80_000.0
    });
    let found = found.count();
    assert!(found >= 22, "{found} of 24");
}

#[test]
fn a_worker_may_die_at_any_call() {
    let values = (0..300).map(|i| (hash(1, init::Draw::Row, i) >> 50) as f64).collect();
    let plain = Points::<f64> { first: 0, dims: 3, values, missing: 0, weights: None };
    let weights = Some((0..100u8).map(|i| f64::from(i % 7)).collect());
    let weighted = Points { values: plain.values.clone(), weights, ..plain };
    // Far centroids lead to empty clusters, so that relocations are repeated, too.
    let far = (0..15).map(|i| f64::from(i % 5) * 1e4).collect();
    let far = Init::Centroids(far);
    for (points, init, tolerance) in [
        (&plain, Init::PlusPlus, 0.0),
        (&plain, far.clone(), 40.0),
        (&plain, Init::Parallel, 0.0),
        (&weighted, Init::PlusPlus, 0.0),
        (&weighted, far, 40.0),
    ] {
        let problem = problem(Settings { init, tolerance, iterations: 9, ..settings(5) }, 100);
        let expected = run_parties(&problem, points, 3, None);
        let mut calls = 0;
        let mut counted =
            Dying { link: LocalGroup::new(1, TIMEOUT).join(0), left: u64::MAX, contributes: true };
        run(&problem, points, Isa::detect(), &mut counted, false, &mut |_| Ok(())).unwrap();
        calls += u64::MAX - counted.left;
        assert!(calls > 5, "{calls}");
        for call in 1..=calls {
            for contributes in [false, true] {
                let outcome = run_parties(&problem, points, 3, Some((call, contributes)));
                assert_eq!(outcome, expected, "died at call {call}, {contributes}");
            }
        }
    }
}

/// More attempts of the same parties begin while the first ones run and after them: all have the
/// same result.
#[test]
fn a_worker_may_run_twice_at_a_time() {
    let points = digits::<f32>();
    let problem = problem(Settings { init: Init::Random, ..settings(13) }, 1_797);
    let expected = run_parties(&problem, &points, 3, None);
    let local = LocalGroup::new(3, TIMEOUT);
    std::thread::scope(|scope| {
        let workers: Vec<_> = [(0, 0), (1, 0), (2, 0), (2, 0), (2, 3), (1, 8), (2, 20)]
            .map(|(party, delay_ms)| {
                let (local, problem, points) = (&local, &problem, &points);
                scope.spawn(move || {
                    std::thread::sleep(Duration::from_millis(delay_ms));
                    let own = cut(points, party, 3);
                    let problem = Problem { party, parties: 3, ..problem.clone() };
                    let mut link = local.join(party);
                    (party, run(&problem, &own, Isa::detect(), &mut link, true, &mut |_| Ok(())))
                })
            })
            .into();
        for worker in workers {
            let (party, outcome) = worker.join().unwrap();
            let (outcome, own) = (outcome.unwrap(), cut(&points, party, 3));
            let first = usize::try_from(own.first).unwrap();
            assert_eq!(outcome.labels, expected.labels[first..first + own.rows()]);
            assert_eq!(outcome.centroids, expected.centroids);
            assert_eq!((outcome.counts, outcome.cost), (expected.counts.clone(), expected.cost));
            assert_eq!(outcome.iterations, expected.iterations);
        }
    });
}

#[test]
fn empty_clusters_take_the_farthest_points() {
    let values = vec![0.0, 1.0, 2.0, 50.0, 51.0, 900.0];
    let points = Points::<f32> { first: 0, dims: 1, values, missing: 0, weights: None };
    let init = Init::Centroids(vec![0.0, 1e6, 2e6]);
    for parties in [1, 2, 7] {
        let problem = problem(Settings { init: init.clone(), ..settings(3) }, 6);
        let outcome = run_parties(&problem, &points, parties, None);
        assert_eq!(outcome.labels, [0, 0, 0, 2, 2, 1]);
        assert_eq!(outcome.counts, [3, 1, 2]);
        assert!((outcome.cost - 2.5).abs() < 1e-6, "{outcome:?}");
    }
}

/// Records the lengths of contributions.
struct Measuring {
    link: LocalLink,
    lengths: Vec<(Phase, usize)>,
}

impl AllReduce for Measuring {
    fn all_reduce(&mut self, phase: Phase, op: ReduceOp, values: &mut Vec<i64>) -> Result<()> {
        self.lengths.push((phase, values.len()));
        self.link.all_reduce(phase, op, values)
    }

    fn last(&mut self, phase: Phase) -> Result<Option<(u64, Vec<i64>)>> {
        self.link.last(phase)
    }
}

#[test]
fn only_a_round_with_an_empty_cluster_grows_with_the_parties() {
    let values = vec![0.0, 1.0, 2.0, 50.0, 51.0, 900.0];
    let points = Points::<f32> { first: 0, dims: 1, values, missing: 0, weights: None };
    let lengths = |parties: u32, init: Vec<f64>| {
        let local = LocalGroup::new(parties, TIMEOUT);
        let problem = problem(Settings { init: Init::Centroids(init), ..settings(3) }, 6);
        std::thread::scope(|scope| {
            let workers: Vec<_> = (0..parties)
                .map(|party| {
                    let mut link = Measuring { link: local.join(party), lengths: Vec::new() };
                    let (problem, points) = (&problem, &points);
                    scope.spawn(move || {
                        let problem = Problem { party, parties, ..problem.clone() };
                        let own = cut(points, party, parties);
                        run(&problem, &own, Isa::Portable, &mut link, false, &mut |_| Ok(()))
                            .unwrap();
                        link.lengths
                    })
                })
                .collect();
            let mut lengths = workers.into_iter().map(|worker| worker.join().unwrap());
            let first = lengths.next().unwrap();
            assert!(lengths.all(|other| other == first), "all make the same calls");
            first
        })
    };
    let apart = || vec![0.0, 50.0, 900.0];
    assert_eq!(lengths(1, apart()), lengths(7, apart()));
    let of = |parties| {
        let lengths = lengths(parties, vec![0.0, 1e6, 2e6]);
        let steps: Vec<_> =
            lengths.iter().filter(|(phase, _)| matches!(phase, Phase::Step(_))).collect();
        assert!(steps.iter().all(|(_, length)| *length == 3 + 3 + NUMBERS), "{steps:?}");
        lengths.into_iter().filter(|(phase, _)| matches!(phase, Phase::Farthest(_))).collect()
    };
    let offer = |parties: usize| parties * RELOCATIONS_MAX * CANDIDATE_VALUES;
    let (one, seven): (Vec<_>, Vec<_>) = (of(1), of(7));
    assert_eq!(one[0], (Phase::Farthest(0), offer(1)));
    assert_eq!(seven[0], (Phase::Farthest(0), offer(7)));
}

#[test]
fn fewer_distinct_points_than_clusters_stay_finite() {
    let points = Points::<f64> {
        first: 0,
        dims: 2,
        values: [3.0, 4.0].repeat(9),
        missing: 0,
        weights: None,
    };
    let given = Init::Centroids(vec![7.0; 10]);
    for init in [Init::First, Init::Random, Init::PlusPlus, Init::Parallel, given] {
        for parties in [1, 4] {
            let problem = problem(Settings { init: init.clone(), ..settings(5) }, 9);
            let outcome = run_parties(&problem, &points, parties, None);
            assert!(outcome.centroids.iter().all(|c| c.is_finite()), "{outcome:?}");
            assert_eq!((outcome.cost, outcome.converged), (0.0, true));
            assert_eq!(outcome.counts.iter().sum::<i64>(), 9);
        }
    }
}

#[test]
fn as_many_clusters_as_points() {
    let points = Points::<f32> {
        first: 0,
        dims: 2,
        values: (0..14u8).map(f32::from).collect(),
        missing: 0,
        weights: None,
    };
    let outcome = run_parties(&problem(settings(7), 7), &points, 3, None);
    assert_eq!((outcome.cost, outcome.counts), (0.0, vec![1; 7]));
}

#[test]
fn tolerance_and_iterations_end_it() {
    let points = digits::<f32>();
    let rest = run_parties(&problem(settings(10), 1_797), &points, 2, None);
    let near =
        run_parties(&problem(Settings { tolerance: 0.5, ..settings(10) }, 1_797), &points, 2, None);
    let short =
        run_parties(&problem(Settings { iterations: 3, ..settings(10) }, 1_797), &points, 2, None);
    assert!(near.converged && near.iterations < rest.iterations && near.cost >= rest.cost);
    assert!(!short.converged && short.iterations == 3 && short.cost > rest.cost);
}

fn column(values: impl IntoIterator<Item = f64>) -> Points<f64> {
    Points { first: 0, dims: 1, values: values.into_iter().collect(), missing: 0, weights: None }
}

/// The distance of values from zero must not decide about the precision of costs and means.
#[test]
fn costs_far_from_the_origin_are_right() {
    let first = |k| Settings { init: Init::First, ..settings(k) };
    let four = [0.0, 10.0, 1_000.0, 1_010.0];
    for offset in [0.0, 1.7e12, -1.7e12, 4e15] {
        let points = column(four.map(|x| x + offset));
        for parties in [1, 2, 4] {
            let one = run_parties(&problem(first(1), 4), &points, parties, None);
            assert_eq!((one.cost, one.converged), (1_000_100.0, true), "{offset}");
            assert_eq!(one.centroids, [offset + 505.0]);
            let two = run_parties(&problem(first(2), 4), &points, parties, None);
            assert_eq!((two.cost, two.counts), (100.0, vec![2, 2]), "{offset}");
        }
    }
    // Seconds since 1970, one in ten per second.
    let seconds: Vec<f64> = (0..20_000).map(|i| 1.7e9 + f64::from(i % 720)).collect();
    let mean = seconds.iter().map(|x| x - 1.7e9).sum::<f64>() / 2e4;
    let cost: f64 = seconds.iter().map(|x| (x - 1.7e9 - mean).powi(2)).sum();
    let outcome = run_parties(&problem(first(1), 20_000), &column(seconds), 3, None);
    assert!((outcome.cost - cost).abs() <= 1e-9 * cost, "{} {cost}", outcome.cost);
    let spread = column((0..1_000).map(|i| 1e7 + f64::from(i) * 1e-3));
    let cost = 1e-6 * (1e9 - 1e3) / 12.0;
    let outcome = run_parties(&problem(first(1), 1_000), &spread, 2, None);
    assert!((outcome.cost - cost).abs() <= 1e-6 * cost, "{} {cost}", outcome.cost);
}

#[test]
fn an_outlier_does_not_hide_the_cost_of_the_others() {
    let mut values: Vec<f64> = (0..1_000).map(|i| f64::from(i % 5)).collect();
    values.push(1e9);
    let init = Init::Centroids(vec![0.0, 1e9]);
    for parties in [1, 3] {
        let settings = Settings { init: init.clone(), ..settings(2) };
        let outcome =
            run_parties(&problem(settings, 1_001), &column(values.clone()), parties, None);
        assert_eq!(outcome.counts, [1_000, 1]);
        assert!((outcome.cost - 2_000.0).abs() < 1e-3, "{}", outcome.cost);
    }
}

#[test]
fn values_too_near_are_refused() {
    fn error<T: Element>(values: [f64; 3]) -> String {
        let values = values.map(T::from_f64).to_vec();
        let points = Points::<T> { first: 0, dims: 1, values, missing: 0, weights: None };
        let mut link = LocalGroup::new(1, TIMEOUT).join(0);
        let problem = problem(settings(2), 3);
        run(&problem, &points, Isa::detect(), &mut link, false, &mut |_| Ok(()))
            .unwrap_err()
            .to_string()
    }
    let wide = error::<f64>([1e-170, 2e-170, 9e-170]);
    assert!(wide.contains("too little for f64 distances, whose squares would vanish"), "{wide}");
    let narrow = error::<f32>([1e-25, 2e-25, 9e-25]);
    assert!(narrow.ends_with("rescale the data or pass --precision f64"), "{narrow}");
}

/// Few distinct values, many clusters: every run comes to rest.
#[test]
fn duplicates_come_to_rest() {
    let three = run_parties(&problem(settings(2), 3), &column([0.1; 3]), 1, None);
    assert_eq!((three.converged, three.cost), (true, 0.0));
    assert!(three.iterations <= 3 && three.counts.contains(&0), "{three:?}");
    let inits = [Init::First, Init::Random, Init::PlusPlus, Init::Centroids(vec![0.7; 9])];
    for seed in 0..400 {
        let draw = |at: u64| hash(seed, init::Draw::Row, at);
        let (distinct, rows) = (1 + draw(0) % 6, 9 + draw(1) % 40);
        let value =
            |row: u64| (1 + draw(2 + row) % distinct) as f64 * 0.1 + 7.0 * (seed % 3) as f64;
        let points = column((0..rows).map(value));
        let k = if seed % 4 == 3 { 9 } else { 1 + (draw(99) % 9) as usize };
        let init = inits[(seed % 4) as usize].clone();
        let problem = problem(Settings { init, seed, ..settings(k) }, rows);
        let outcome = run_parties(&problem, &points, 1, None);
        assert!(outcome.converged, "{seed}: {outcome:?}");
        assert!(outcome.cost.is_finite() && outcome.iterations < 60, "{seed}: {outcome:?}");
        if k as u64 >= distinct && k == 9 {
            assert!(outcome.cost < 1e-20, "{seed}: {outcome:?}");
        }
    }
}

#[test]
fn values_too_large_are_refused() {
    let points =
        Points::<f32> { first: 0, dims: 1, values: vec![1e30, 2.0], missing: 0, weights: None };
    let mut link = LocalGroup::new(1, TIMEOUT).join(0);
    let error =
        run(&problem(settings(1), 2), &points, Isa::detect(), &mut link, false, &mut |_| Ok(()))
            .unwrap_err();
    let expected = "too far for f32 distances; rescale the data or pass --precision f64";
    assert!(error.to_string().ends_with(expected), "{error}");
}

#[test]
fn a_missing_party_is_named() {
    let mut link = LocalGroup::new(3, Duration::from_millis(20)).join(1);
    let points = Points::<f32> { first: 0, dims: 1, values: vec![1.0], missing: 0, weights: None };
    let problem = Problem { party: 1, parties: 3, ..problem(settings(1), 1) };
    let error =
        run(&problem, &points, Isa::detect(), &mut link, false, &mut |_| Ok(())).unwrap_err();
    let expected = "range round 0: not all workers contributed within 20ms; missing: 0, 2";
    assert_eq!(error.to_string(), expected);
}
