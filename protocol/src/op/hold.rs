//! The bodies that ops about held things share.

use rkyv::{Archive, Serialize};

use crate::body;
use crate::status::Fault;

/// A holder asks for more time.
#[derive(Archive, Serialize)]
pub(super) struct ExtendBody {
    pub(super) token: u64,
    pub(super) hold_ms: u32,
}

/// Token and milliseconds.
pub(super) fn decode_extend(body: &[u8]) -> Result<(u64, u32), Fault> {
    let extend = body::decode::<ArchivedExtendBody>(body)?;
    Ok((extend.token.to_native(), extend.hold_ms.to_native()))
}
