//! Parses the values on the command line.

use std::io::Read;
use std::time::Duration;

use anyhow::{Context, bail};
use bytesize::ByteSize;
use catena_client::Hold;
use clap::Args;

/// Why a value on the command line is not valid.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ValueError {
    #[error("`{0}` is not a time: try `500ms`, `5s`, `2m` or `1h`")]
    Time(String),
    #[error("`{0}` is not a unit of time: use ms, s, m or h")]
    Unit(String),
    #[error("`{0}` is too long: give at most 876000h, which are 100 years")]
    TimeTooLong(String),
    #[error("`{0}` is not a size: try `64MiB` or `4GB`")]
    Size(String),
    #[error("`{0}` is too large: give less than 16EiB")]
    SizeTooLarge(String),
    #[error("`{0}` is not a range: try `0..10`, `5..` or `..`")]
    Range(String),
    #[error("the range `{0}` ends before it begins")]
    RangeBackwards(String),
    #[error("`{0}` is longer than the 1h after which the engine forgets a silent holder")]
    HoldTooLong(String),
    #[error("a hold ends at once with `{0}`: give at least 1s")]
    HoldTooShort(String),
    #[error("a value has {bytes} bytes and numbers have 8: leave out --number and --float")]
    NotANumber { bytes: usize },
    #[error("`-` cannot be read here, because standard input has the commands: use @FILE")]
    StdinTaken,
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
    let time = Duration::try_from_secs_f64(number * unit);
    match time {
        Ok(time) if time <= TIME_MAX => Ok(time),
        _ if number * unit > 0.0 => Err(ValueError::TimeTooLong(text.to_owned())),
        _ => Err(wrong()),
    }
}

/// Parses a size such as `64MiB`; a number without a unit is in bytes.
pub(crate) fn size(text: &str) -> Result<ByteSize, ValueError> {
    match text.parse::<ByteSize>() {
        Ok(size) if size.as_u64() == u64::MAX => Err(ValueError::SizeTooLarge(text.to_owned())),
        Ok(size) => Ok(size),
        Err(_) => Err(ValueError::Size(text.to_owned())),
    }
}

/// How values on the command line are read.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Input {
    /// `@FILE` and `-` mean themselves.
    pub(crate) literal: bool,
    /// NUL bytes separate items in files, instead of line feeds.
    pub(crate) null: bool,
    /// Standard input has the commands, so no value can be read from it.
    pub(crate) stdin_taken: bool,
}

/// Where a value comes from.
#[derive(Debug, PartialEq, Eq)]
enum Source<'t> {
    Text(&'t str),
    File(&'t str),
    Stdin,
}

impl Input {
    fn source(self, text: &str) -> Source<'_> {
        match text.strip_prefix('@') {
            _ if self.literal => Source::Text(text),
            Some(rest) if rest.starts_with('@') => Source::Text(rest),
            Some(path) => Source::File(path),
            None if text == "-" => Source::Stdin,
            None => Source::Text(text),
        }
    }

    /// Reads a value: the text itself, `-` for standard input, `@FILE` for the contents of a file,
    /// `@@text` for a text that begins with `@`.
    pub(crate) fn bytes(self, text: &str) -> anyhow::Result<Vec<u8>> {
        match self.source(text) {
            Source::Text(text) => Ok(text.as_bytes().to_vec()),
            Source::File(path) => std::fs::read(path).with_context(|| {
                format!(
                    "cannot read the file `{path}` (to give the text `{text}` itself, write \
                     `@{text}`, or add --literal)"
                )
            }),
            Source::Stdin if self.stdin_taken => Err(ValueError::StdinTaken.into()),
            Source::Stdin => {
                let mut bytes = Vec::new();
                std::io::stdin().read_to_end(&mut bytes).context("cannot read standard input")?;
                Ok(bytes)
            }
        }
    }

    /// Reads several values.
    pub(crate) fn all_bytes(self, texts: &[String]) -> anyhow::Result<Vec<Vec<u8>>> {
        texts.iter().map(|text| self.bytes(text)).collect()
    }

    /// Reads items. With `lines`, or if NUL bytes separate items, those in files and in standard
    /// input are several; otherwise each is one.
    pub(crate) fn items(self, texts: &[String], lines: bool) -> anyhow::Result<Vec<Vec<u8>>> {
        if !lines && !self.null {
            return self.all_bytes(texts);
        }
        let mut items = Vec::new();
        for text in texts {
            let bytes = self.bytes(text)?;
            match self.source(text) {
                Source::Text(_) => items.push(bytes),
                Source::File(_) | Source::Stdin => {
                    items.extend(split(&bytes, if self.null { 0 } else { b'\n' }));
                }
            }
        }
        Ok(items)
    }

    /// Reads keys and values, which alternate.
    pub(crate) fn pairs(
        self,
        texts: &[String],
        lines: LinesArg,
    ) -> anyhow::Result<Vec<(Vec<u8>, Vec<u8>)>> {
        let items = self.items(texts, lines.lines)?;
        if !items.len().is_multiple_of(2) {
            let key = String::from_utf8_lossy(&items[items.len() - 1]).into_owned();
            bail!("keys and values come in pairs, but the key `{key}` has no value");
        }
        let mut items = items.into_iter();
        Ok(std::iter::from_fn(|| Some((items.next()?, items.next()?))).collect())
    }
}

/// Splits bytes into items, each of which ends with the separator; the last one need not.
fn split(bytes: &[u8], separator: u8) -> Vec<Vec<u8>> {
    let mut items: Vec<Vec<u8>> =
        bytes.split(|byte| *byte == separator).map(<[u8]>::to_vec).collect();
    if items.last().is_some_and(Vec::is_empty) {
        items.pop();
    }
    items
}

/// Splits items into groups that a request can carry: at most this many items and bytes each, but
/// at least one item.
pub(crate) fn groups<T>(
    items: &[T],
    items_max: usize,
    bytes_max: usize,
    bytes_of: impl Fn(&T) -> usize,
) -> Vec<&[T]> {
    let (mut groups, mut from, mut bytes) = (Vec::new(), 0, 0);
    for (at, item) in items.iter().enumerate() {
        let more = bytes_of(item);
        if at > from && (at - from >= items_max || bytes + more > bytes_max) {
            groups.push(&items[from..at]);
            (from, bytes) = (at, 0);
        }
        bytes += more;
    }
    if from < items.len() {
        groups.push(&items[from..]);
    }
    groups
}

/// The most items and bytes of them in one request of the tool.
pub(crate) const GROUP_ITEMS: usize = 4_096;
pub(crate) const GROUP_BYTES: usize = 4 << 20;

/// Whether the items of files are several.
#[derive(Clone, Copy, Debug, Args)]
pub(crate) struct LinesArg {
    /// Take every line of standard input (`-`) or of a file (`@FILE`) as an item; with `--null`,
    /// everything up to a NUL byte
    #[arg(long)]
    pub(crate) lines: bool,
}

/// Adds the port 7400 to the addresses that have none, in a list separated by commas. The place of
/// a record is left as it is.
pub(crate) fn with_ports(engine: &str) -> String {
    if engine.contains("://") {
        return engine.to_owned();
    }
    let with_port = |address: &str| match address.rsplit_once(':') {
        // The address of IPv6, without brackets or with them.
        Some((host, _)) if host.contains(':') && !host.ends_with(']') => {
            match address.parse::<std::net::Ipv6Addr>() {
                Ok(_) => format!("[{address}]:{PORT}"),
                Err(_) if address.ends_with(']') => format!("{address}:{PORT}"),
                Err(_) => address.to_owned(),
            }
        }
        Some(_) => address.to_owned(),
        None if address.is_empty() => String::new(),
        None => format!("{address}:{PORT}"),
    };
    engine.split(',').map(|address| with_port(address.trim())).collect::<Vec<_>>().join(",")
}

/// The port of an engine unless given.
const PORT: u16 = 7400;

/// Parses a range of positions such as `3..7`, `3..`, `..7` or `..`.
pub(crate) fn range(text: &str) -> Result<std::ops::Range<u64>, ValueError> {
    let wrong = || ValueError::Range(text.to_owned());
    let (from, to) = text.split_once("..").ok_or_else(wrong)?;
    let end = |text: &str, open| {
        if text.is_empty() { Ok(open) } else { text.parse().map_err(|_| wrong()) }
    };
    match end(from, 0)?..end(to, u64::MAX)? {
        range if range.start > range.end => Err(ValueError::RangeBackwards(text.to_owned())),
        range => Ok(range),
    }
}

/// How long something is held that outlives the command.
#[derive(Clone, Copy, Debug, Args)]
pub(crate) struct HoldArg {
    /// Release automatically after this long, such as `60s`, at most 1h [default: 20m]
    #[arg(long, value_name = "TIME", value_parser = hold_time)]
    hold: Option<Duration>,
}

impl HoldArg {
    /// The hold of permits, a lock or a claim.
    pub(crate) fn hold(self) -> Hold {
        Hold::For(self.hold.unwrap_or(HOLD))
    }

    pub(crate) fn is_given(self) -> bool {
        self.hold.is_some()
    }

    /// The time that was given.
    pub(crate) fn given(self) -> Option<Duration> {
        self.hold
    }

    /// The hold of a seat.
    pub(crate) fn seat_hold(self) -> Hold {
        self.hold.map_or(Hold::Session, Hold::For)
    }
}

/// Parses how long something is held. It ends with the session of the process that took it, which
/// the engine forgets after [`HOLD_MAX`] of silence.
fn hold_time(text: &str) -> Result<Duration, ValueError> {
    match time(text)? {
        long if long > HOLD_MAX => Err(ValueError::HoldTooLong(text.to_owned())),
        hold => Ok(hold),
    }
}

/// Parses how long something is held after its last renewal.
pub(crate) fn renewed_time(text: &str) -> Result<Duration, ValueError> {
    match hold_time(text)? {
        short if short < RENEWED_MIN => Err(ValueError::HoldTooShort(text.to_owned())),
        hold => Ok(hold),
    }
}

/// The longest time, so that it can be added to a clock.
const TIME_MAX: Duration = Duration::from_secs(100 * 365 * 24 * 60 * 60);

/// How long something is held unless given.
const HOLD: Duration = Duration::from_secs(20 * 60);

/// The longest hold: the longest time after which an engine forgets a silent session.
pub(crate) const HOLD_MAX: Duration = Duration::from_secs(60 * 60);

/// The shortest hold that is renewed.
pub(crate) const RENEWED_MIN: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times() {
        assert_eq!(time("250ms"), Ok(Duration::from_millis(250)));
        assert_eq!(time("5"), Ok(Duration::from_secs(5)));
        assert_eq!(time("1.5m"), Ok(Duration::from_secs(90)));
        for wrong in ["", "s", "5 apples", "-1s", "NaN"] {
            assert!(time(wrong).is_err(), "{wrong}");
        }
        assert_eq!(time("876000h"), Ok(TIME_MAX));
        for long in ["876001h", "1e30h", "1e999h"] {
            assert_eq!(time(long), Err(ValueError::TimeTooLong(long.to_owned())));
        }
    }

    #[test]
    fn sizes() {
        assert_eq!(size("3TiB"), Ok(ByteSize::tib(3)));
        assert_eq!(size("100"), Ok(ByteSize::b(100)));
        assert_eq!(size("apples"), Err(ValueError::Size("apples".to_owned())));
        assert_eq!(size("-1"), Err(ValueError::Size("-1".to_owned())));
        let large = "20000000TiB";
        assert_eq!(size(large), Err(ValueError::SizeTooLarge(large.to_owned())));
    }

    #[test]
    fn ranges() {
        assert_eq!(range("3..7"), Ok(3..7));
        assert_eq!(range(".."), Ok(0..u64::MAX));
        assert_eq!(range("5..5"), Ok(5..5));
        assert!(range("7").is_err());
        for backwards in ["5..2", "1..0"] {
            assert!(range(backwards).unwrap_err().to_string().contains("ends before it begins"));
        }
    }

    #[test]
    fn holds_are_bounded() {
        assert_eq!(hold_time("1h"), Ok(HOLD_MAX));
        assert!(hold_time("61m").unwrap_err().to_string().contains("longer than the 1h"));
        assert_eq!(renewed_time("1s"), Ok(RENEWED_MIN));
        assert!(renewed_time("20ms").unwrap_err().to_string().contains("at least 1s"));
    }

    const PLAIN: Input = Input { literal: false, null: false, stdin_taken: true };

    #[test]
    fn every_text_can_be_given() {
        assert_eq!(PLAIN.source("@file"), Source::File("file"));
        assert_eq!(PLAIN.source("@@ada"), Source::Text("@ada"));
        assert_eq!(PLAIN.source("-"), Source::Stdin);
        assert_eq!(PLAIN.source("-x"), Source::Text("-x"));
        let literal = Input { literal: true, ..PLAIN };
        for text in ["@file", "@@ada", "-", ""] {
            assert_eq!(literal.source(text), Source::Text(text));
        }
        let missing = PLAIN.bytes("@no/such/file").unwrap_err().to_string();
        assert!(missing.contains("write `@@no/such/file`, or add --literal"), "{missing}");
        assert!(PLAIN.bytes("-").is_err());
    }

    #[test]
    fn items_end_with_their_separator() {
        let items = |text: &str| {
            let items = split(text.as_bytes(), b'\n');
            items.iter().map(|item| String::from_utf8_lossy(item).into_owned()).collect::<Vec<_>>()
        };
        assert_eq!(items("1\n2\n"), ["1", "2"]);
        assert_eq!(items("1\n\n2"), ["1", "", "2"]);
        assert!(items("").is_empty());
        assert_eq!(items("\n"), [""]);
        assert_eq!(split(b"a\nb\0c\0", 0), [b"a\nb".to_vec(), b"c".to_vec()]);
    }

    #[test]
    fn groups_fit_a_request() {
        let items = ["a", "bb", "ccc", "dddddd", "e"];
        let grouped = |items_max, bytes_max| {
            let groups = groups(&items, items_max, bytes_max, |item| item.len());
            groups.into_iter().map(<[&str]>::len).collect::<Vec<_>>()
        };
        assert_eq!(grouped(2, 100), [2, 2, 1]);
        assert_eq!(grouped(100, 3), [2, 1, 1, 1], "one that is too long goes alone");
        assert!(groups::<&str>(&[], 2, 2, |_| 0).is_empty());
    }

    #[test]
    fn an_address_has_a_default_port() {
        for (given, expected) in [
            ("localhost", "localhost:7400"),
            ("10.0.0.1:7500, 10.0.0.2", "10.0.0.1:7500,10.0.0.2:7400"),
            ("::1", "[::1]:7400"),
            ("[::1]", "[::1]:7400"),
            ("[::1]:7500", "[::1]:7500"),
            ("s3://bucket/prefix#x", "s3://bucket/prefix#x"),
            ("", ""),
        ] {
            assert_eq!(with_ports(given), expected);
        }
    }

    #[test]
    fn pairs_are_pairs() {
        let texts = ["a", "1", "b"].map(str::to_owned);
        let pairs = |texts| PLAIN.pairs(texts, LinesArg { lines: false });
        assert_eq!(pairs(&texts[..2]).unwrap(), [(b"a".to_vec(), b"1".to_vec())]);
        assert!(pairs(&texts).unwrap_err().to_string().contains("`b`"));
    }
}
