//! The reason why a request has no result.

use rkyv::rancor::Failure;
use rkyv::{Archive, Deserialize, Serialize};

use crate::body::{self, ArchivedBytesBody, BytesBody};
use crate::status::{Fault, Status};

/// The parties that a timed-out request was waiting for.
#[derive(Archive, Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
pub struct Missing {
    /// How many parties had come.
    pub arrived: u32,
    /// How many were needed; 0 if the wait was not for parties.
    pub parties: u32,
    /// The names of missing parties as far as they are known, at most
    /// [`MISSING_NAMED_MAX`](crate::limits::MISSING_NAMED_MAX).
    pub names: Vec<String>,
}

/// The reason why a request has no result.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The request was refused; two numbers explain why.
    Fault(Fault),
    /// The wait timed out.
    Timeout(Missing),
    /// The object was broken, reset or cancelled, for this reason.
    Broken(String),
}

impl Refusal {
    /// Returns the status, which goes into the header.
    pub fn status(&self) -> Status {
        match self {
            Refusal::Fault(fault) => fault.status,
            Refusal::Timeout(_) => Status::Timeout,
            Refusal::Broken(_) => Status::Broken,
        }
    }

    /// Appends the body.
    pub fn encode(&self, out: &mut Vec<u8>) {
        match self {
            // The reader decodes the body by the status alone, so these two need their own bodies.
            Refusal::Fault(Fault { status: Status::Timeout, .. }) => {
                body::encode_owned(&Missing::default(), out);
            }
            Refusal::Fault(Fault { status: Status::Broken, .. }) => {
                body::encode(&BytesBody { bytes: &[] }, out);
            }
            Refusal::Fault(Fault { expected, got, .. }) => {
                body::encode(&FaultBody { expected: *expected, got: *got }, out);
            }
            Refusal::Timeout(missing) => body::encode_owned(missing, out),
            Refusal::Broken(reason) => body::encode(&BytesBody { bytes: reason.as_bytes() }, out),
        }
    }

    /// Reads the body of a reply whose status is not `Ok`.
    ///
    /// # Errors
    ///
    /// `BadBody`.
    pub fn decode(status: Status, bytes: &[u8]) -> Result<Refusal, Fault> {
        Ok(match status {
            Status::Timeout => {
                let missing = body::decode::<ArchivedMissing>(bytes)?;
                Refusal::Timeout(body::owned(rkyv::deserialize::<_, Failure>(missing))?)
            }
            Status::Broken => {
                let reason = &body::decode::<ArchivedBytesBody<'_>>(bytes)?.bytes;
                Refusal::Broken(body::text(reason)?.to_owned())
            }
            _ => {
                let fault = body::decode::<ArchivedFaultBody>(bytes)?;
                let (expected, got) = (fault.expected.to_native(), fault.got.to_native());
                Refusal::Fault(Fault { status, expected, got })
            }
        })
    }
}

impl From<Fault> for Refusal {
    fn from(fault: Fault) -> Refusal {
        Refusal::Fault(fault)
    }
}

impl std::fmt::Display for Refusal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Refusal::Fault(fault) => fault.fmt(f),
            Refusal::Broken(reason) => write!(f, "broken: {reason}"),
            // Not every wait is for parties.
            Refusal::Timeout(Missing { parties: 0, .. }) => write!(f, "the wait timed out"),
            Refusal::Timeout(Missing { arrived, parties, names }) => {
                write!(f, "the wait timed out with {arrived} of {parties} parties present")?;
                if !names.is_empty() {
                    write!(f, "; missing: {}", names.join(", "))?;
                }
                Ok(())
            }
        }
    }
}

#[derive(Archive, Serialize)]
struct FaultBody {
    expected: u64,
    got: u64,
}
