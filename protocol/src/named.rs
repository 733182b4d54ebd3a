//! The name that may precede a body: how the engine gets the name of an object.
//!
//! The header carries only the hash of a name. A request with [`flags::NAMED`](crate::flags::NAMED)
//! begins its body with the name itself: two bytes with its length, the name in UTF-8, and zeros up
//! to the next multiple of 16. The op's own body follows, aligned as ever.

use crate::limits::{FRAME_ALIGNMENT, NAME_BYTES_MAX};
use crate::status::{Fault, Status};

/// Appends a name and its padding. The op's body has to follow.
///
/// # Panics
///
/// If the name is longer than [`NAME_BYTES_MAX`], or `out` does not end on a multiple of 16.
pub fn put(name: &str, out: &mut Vec<u8>) {
    assert!(out.len().is_multiple_of(ALIGNMENT), "a body begins aligned: {}", out.len());
    assert!(name.len() <= NAME_BYTES_MAX, "names are checked before: {}", name.len());
    let len = u16::try_from(name.len()).expect("a name's length has 16 bits");
    out.extend_from_slice(&len.to_le_bytes());
    out.extend_from_slice(name.as_bytes());
    out.resize(out.len().next_multiple_of(ALIGNMENT), 0);
}

/// Splits a body into the name at its front and the op's own body.
///
/// # Errors
///
/// `BadBody` if the body is shorter than the name's length says, or the name is not UTF-8;
/// `BadArgument` if the name is empty or longer than [`NAME_BYTES_MAX`].
pub fn split(body: &[u8]) -> Result<(&str, &[u8]), Fault> {
    let (len, _) = body.split_first_chunk().ok_or(Fault::new(Status::BadBody))?;
    let len = usize::from(u16::from_le_bytes(*len));
    if !(1..=NAME_BYTES_MAX).contains(&len) {
        let (limit, got) = (NAME_BYTES_MAX as u64, len as u64);
        return Err(Fault::expected(Status::BadArgument, limit, got));
    }
    let prefix_len = (LEN_BYTES + len).next_multiple_of(ALIGNMENT);
    let (prefix, rest) = body.split_at_checked(prefix_len).ok_or(Fault::new(Status::BadBody))?;
    let name = crate::body::text(&prefix[LEN_BYTES..LEN_BYTES + len])?;
    Ok((name, rest))
}

const LEN_BYTES: usize = size_of::<u16>();
const ALIGNMENT: usize = FRAME_ALIGNMENT as usize;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_comes_off_and_leaves_the_body_aligned() {
        for len in [1, 13, 14, 15, 30, 31, NAME_BYTES_MAX] {
            let name = "n".repeat(len);
            let mut body = Vec::new();
            put(&name, &mut body);
            assert!(body.len().is_multiple_of(16) && body.len() >= len + 2);
            body.extend_from_slice(b"the op's own");
            assert_eq!(split(&body), Ok((&*name, &b"the op's own"[..])));
        }
    }

    #[test]
    fn names_that_are_none_are_refused() {
        let status = |body: &[u8]| split(body).expect_err("no name").status;
        assert_eq!(status(b""), Status::BadBody);
        assert_eq!(status(b"\x05"), Status::BadBody);
        assert_eq!(status(b"\x05\x00short"), Status::BadBody);
        assert_eq!(status(b"\x02\x00\xff\xfe............"), Status::BadBody);
        assert_eq!(status(&[0; 16]), Status::BadArgument);
        assert_eq!(status(&[0xFF; 16]), Status::BadArgument);
    }
}
