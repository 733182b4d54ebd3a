//! What a job must not be.

use std::path::Path;

use super::{Job, Labels};
use crate::batches;
use crate::data::Missing;
use crate::error::{Error, Result};
use crate::init::Init;
use crate::kernel::all_finite;
use crate::pruning::Pruning;
use crate::settings::Settings;
use crate::transform::{Distance, Scaling};

impl Job {
    /// Checks that the job can be run.
    ///
    /// # Errors
    ///
    /// More clusters than points, no clusters, no workers, a tolerance that is no distance.
    pub fn check(&self) -> Result<()> {
        let flag = |flag, reason| Err(Error::Flag { flag, reason });
        let Settings { k, tolerance, .. } = self.settings;
        if k == 0 {
            return flag("--k", "there must be at least one cluster");
        }
        if self.workers == 0 {
            return flag("--workers", "there must be at least one worker");
        }
        if !(tolerance >= 0.0 && tolerance.is_finite()) {
            return flag("--tolerance", "a distance must be finite and not negative");
        }
        self.check_batches()?;
        if let Init::Centroids(centroids) = &self.settings.init {
            check_centroids(centroids, k, self.data.dims())?;
        }
        if k.checked_mul(self.data.dims()).is_none_or(|numbers| numbers > NUMBERS_MAX) {
            return flag(
                "--k",
                "the clusters have more than 2^30 coordinates in total; choose fewer",
            );
        }
        self.data.points().map_or(Ok(()), |points| self.check_points(points))
    }

    /// Checks that a job with batches asks for nothing that needs all points in memory.
    fn check_batches(&self) -> Result<()> {
        let Settings { batch_size, iterations, tolerance, pruning, scale, distance, .. } =
            self.settings;
        let Some(batch_size) = batch_size else { return Ok(()) };
        batches::check(batch_size, iterations)?;
        let refused = [
            ("--scale", scale != Scaling::None),
            ("--distance", distance != Distance::default()),
            ("--weight-column", self.data.weighted()),
            ("--missing", self.data.missing() == Missing::Mean),
            ("--pruning", pruning != Pruning::default()),
            ("--tolerance", tolerance > 0.0),
            ("--report", self.sample),
            ("--silhouette-sample", self.settings.drawn > 0),
        ];
        if let Some((flag, _)) = refused.into_iter().find(|(_, is_there)| *is_there) {
            return Err(Error::Flag {
                flag,
                reason: "not with --batch-size, which has a batch in memory",
            });
        }
        if self.data.is_compressed() {
            let reason = "compressed files cannot be read in blocks; decompress them first";
            return Err(Error::Flag { flag: "--batch-size", reason });
        }
        Ok(())
    }

    /// Checks that the labels of each worker fit the reply of an invocation on Lambda, which is at most 6
    /// MiB. `path` is the file for the labels.
    ///
    /// # Errors
    ///
    /// [`Error::LabelsTooLarge`].
    pub fn check_reply(&self, path: &Path) -> Result<()> {
        /// What labels may take, which are most of the reply.
        const REPLY_BYTES_MAX: u64 = 5 << 20;
        if self.labels != Labels::Returned {
            return Ok(());
        }
        // A value of text takes two bytes at least.
        let rows = self.data.points();
        let rows = rows.unwrap_or_else(|| self.data.bytes() / (2 * self.data.dims() as u64));
        let digits = self.settings.k.saturating_sub(1).to_string().len() as u64 + 1;
        let bytes = rows.div_ceil(u64::from(self.workers)) * digits;
        if bytes > REPLY_BYTES_MAX {
            let mib = bytes.div_ceil(1 << 20);
            return Err(Error::LabelsTooLarge { path: path.to_path_buf(), mib });
        }
        Ok(())
    }

    pub(super) fn check_points(&self, points: u64) -> Result<()> {
        if points == 0 {
            return Err(Error::NoPoints { path: self.data.path().to_path_buf() });
        }
        let k = self.settings.k;
        // Points may be few if they are only assigned to given centroids.
        let is_given = matches!(self.settings.init, Init::Centroids(_));
        if k as u64 > points && !(is_given && self.settings.iterations == 0) {
            return Err(Error::TooManyClusters { k, points });
        }
        Ok(())
    }
}

/// The most coordinates of all clusters, which workers agree on in pieces of 2^20.
const NUMBERS_MAX: usize = 1 << 30;

/// Checks given centroids.
fn check_centroids(centroids: &[f64], k: usize, dims: usize) -> Result<()> {
    if k.checked_mul(dims) != Some(centroids.len()) {
        return Err(Error::InitLength { got: centroids.len(), k, dims });
    }
    if all_finite(centroids) {
        return Ok(());
    }
    let at = centroids.iter().position(|c| !c.is_finite()).expect("one is not finite");
    let (centroid, column) = (at / dims + 1, at % dims + 1);
    Err(Error::InitNotFinite { centroid, column, value: centroids[at] })
}
