//! Parses the values on the command line.

use std::io::Read;
use std::time::Duration;

use anyhow::{Context, bail};
use catena_client::Hold;
use clap::Args;

/// Why a value on the command line is not valid.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ValueError {
    #[error("`{0}` is not a time: try `500ms`, `5s`, `2m` or `1h`")]
    Time(String),
    #[error("`{0}` is not a unit of time: use ms, s, m or h")]
    Unit(String),
    #[error("`{0}` is not a range: try `0..10`, `5..` or `..`")]
    Range(String),
}

/// Parses a time such as `250ms`, `5s`, `2m` or `1h`; a number without a unit is in seconds.
pub(crate) fn time(text: &str) -> Result<Duration, ValueError> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let wrong = || ValueError::Time(text.to_owned());
    let number: f64 = digits.parse().map_err(|_| wrong())?;
    let unit = match &text[digits.len()..] {
        "ms" => 0.001,
        "" | "s" => 1.0,
        "m" => 60.0,
        "h" => 3_600.0,
        other => return Err(ValueError::Unit(other.to_owned())),
    };
    Duration::try_from_secs_f64(number * unit).map_err(|_| wrong())
}

/// Reads a value: the text itself, `-` for standard input, or `@FILE` for the contents of a file.
pub(crate) fn bytes(text: &str) -> anyhow::Result<Vec<u8>> {
    match text.strip_prefix('@') {
        Some(path) => std::fs::read(path).with_context(|| format!("cannot read {path}")),
        None if text == "-" => {
            let mut bytes = Vec::new();
            std::io::stdin().read_to_end(&mut bytes).context("cannot read standard input")?;
            Ok(bytes)
        }
        None => Ok(text.as_bytes().to_vec()),
    }
}

/// Reads several values.
pub(crate) fn all_bytes(texts: &[String]) -> anyhow::Result<Vec<Vec<u8>>> {
    texts.iter().map(|text| bytes(text)).collect()
}

/// Reads keys and values, which alternate.
pub(crate) fn pairs(texts: &[String]) -> anyhow::Result<Vec<(Vec<u8>, Vec<u8>)>> {
    if !texts.len().is_multiple_of(2) {
        bail!(
            "keys and values come in pairs, but the key `{}` has no value",
            texts[texts.len() - 1]
        );
    }
    texts.chunks(2).map(|pair| Ok((bytes(&pair[0])?, bytes(&pair[1])?))).collect()
}

/// Parses a range of positions such as `3..7`, `3..`, `..7` or `..`.
pub(crate) fn range(text: &str) -> Result<std::ops::Range<u64>, ValueError> {
    let wrong = || ValueError::Range(text.to_owned());
    let (from, to) = text.split_once("..").ok_or_else(wrong)?;
    let end = |text: &str, open| {
        if text.is_empty() { Ok(open) } else { text.parse().map_err(|_| wrong()) }
    };
    Ok(end(from, 0)?..end(to, u64::MAX)?)
}

/// How long something is held that outlives the command.
#[derive(Clone, Copy, Debug, Args)]
pub(crate) struct HoldArg {
    /// Release automatically after this long, such as `60s` [default: 20m]
    #[arg(long, value_name = "TIME", value_parser = time)]
    hold: Option<Duration>,
}

impl HoldArg {
    pub(crate) fn hold(self) -> Hold {
        self.hold.map_or(Hold::Session, Hold::For)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times() {
        assert_eq!(time("250ms"), Ok(Duration::from_millis(250)));
        assert_eq!(time("5"), Ok(Duration::from_secs(5)));
        assert_eq!(time("1.5m"), Ok(Duration::from_secs(90)));
        for wrong in ["", "s", "5 apples", "-1s", "1e999h"] {
            assert!(time(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn ranges() {
        assert_eq!(range("3..7"), Ok(3..7));
        assert_eq!(range(".."), Ok(0..u64::MAX));
        assert!(range("7").is_err());
    }

    #[test]
    fn pairs_are_pairs() {
        let texts = ["a", "1", "b"].map(str::to_owned);
        assert_eq!(pairs(&texts[..2]).unwrap(), [(b"a".to_vec(), b"1".to_vec())]);
        assert!(pairs(&texts).unwrap_err().to_string().contains("`b`"));
    }
}
