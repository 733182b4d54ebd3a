//! The kernel of k-means: for every point of a block, its nearest centre and the distance to it.

use catena_kmeans::kernel::{Centres, Element, Isa, Scratch};
use divan::{Bencher, counter::ItemsCount};

fn main() {
    divan::main();
}

/// The size of the thesis's experiment.
const DIMS: usize = 100;
const CLUSTERS: usize = 25;

/// One block that stays in the cache, with the best instructions that there are.
fn nearest<T: Element>(bencher: Bencher<'_, '_>) {
    // Any numbers will do: the kernel takes no shortcuts.
    let number = |i: usize| f64::from(u16::try_from(i * 37 % 1_009).expect("below 1,009"));
    let centroids: Vec<f64> = (0..CLUSTERS * DIMS).map(number).collect();
    let origin = vec![T::default(); DIMS];
    let centres = Centres::new(Isa::detect(), &centroids, &origin);
    let rows = Centres::<T>::block_rows(DIMS);
    let points: Vec<T> = (0..rows * DIMS).map(|i| T::from_f64(number(i + 13))).collect();
    let (mut scratch, mut labels) = (Scratch::default(), vec![0; rows]);
    let mut distances = vec![0.0; rows];
    bencher.counter(ItemsCount::new(rows)).bench_local(|| {
        centres.nearest(&points, &[], &mut scratch, &mut labels, &mut distances);
    });
}

#[divan::bench]
fn nearest_f32(bencher: Bencher<'_, '_>) {
    nearest::<f32>(bencher);
}

#[divan::bench]
fn nearest_f64(bencher: Bencher<'_, '_>) {
    nearest::<f64>(bencher);
}
