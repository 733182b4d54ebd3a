//! What is held for a command: how it is taken, renewed and released.

use std::time::{Duration, Instant};

use catena_client::{Claim, Client, Error, Hold};

/// What to hold.
#[derive(Clone, Debug)]
pub(crate) enum What {
    /// The lock with this name.
    Lock(String),
    /// Permits of a semaphore.
    Permits { name: String, permits: u32, count: u32 },
    /// An item of a list, which a client has claimed.
    Item(String),
}

/// What is held, until it is released or its hold ends.
pub(super) struct Holding {
    client: Client,
    what: What,
    token: u64,
    /// The claim, if it is an item that is held.
    claim: Option<Claim>,
}

/// What the engine granted.
struct Taken {
    token: u64,
    claim: Option<Claim>,
}

impl Holding {
    /// Takes it, waiting for up to `timeout` unless it is wanted `now`. `None` if it is not free.
    pub(super) fn take(
        client: Client,
        what: What,
        hold: Duration,
        now: bool,
        timeout: Duration,
    ) -> Result<Option<Holding>, Error> {
        let taken = match &what {
            What::Lock(name) => {
                let lock = client.lock(name).with_hold(hold);
                let guard = if now { lock.try_lock()? } else { Some(lock.lock(timeout)?) };
                guard.map(|guard| Taken { token: guard.keep(), claim: None })
            }
            What::Permits { name, permits, count } => {
                let semaphore = client.semaphore(name, *permits).with_hold(hold);
                let permit = match now {
                    true => semaphore.try_acquire(*count)?,
                    false => Some(semaphore.acquire(*count, timeout)?),
                };
                permit.map(|permit| Taken { token: permit.keep(), claim: None })
            }
            What::Item(name) => claim(&client, name, hold, now, timeout)?,
        };
        Ok(taken.map(|Taken { token, claim }| Holding { client, what, token, claim }))
    }

    /// The fencing token.
    pub(super) fn token(&self) -> u64 {
        self.token
    }

    /// The claimed item, if it is one that is held.
    pub(super) fn item(&self) -> Option<&[u8]> {
        self.claim.as_deref()
    }

    /// Holds it for `hold` from now on. Returns whether it was still held.
    pub(super) fn renew(&self, hold: Duration) -> Result<bool, Error> {
        match &self.what {
            What::Lock(name) => self.client.lock(name).extend(self.token, hold),
            What::Permits { name, permits, .. } => {
                self.client.semaphore(name, *permits).extend(self.token, hold)
            }
            What::Item(name) => {
                if let Some(claim) = &self.claim {
                    claim.renew()?;
                }
                let Some(inspection) = self.client.inspect(name)? else { return Ok(false) };
                let is_named = inspection.holders.iter().any(|holder| holder.token == self.token);
                // Only the first claims are named. Whether another one is held shows at its end.
                Ok(is_named || inspection.holders.len() >= HOLDERS_NAMED)
            }
        }
    }

    /// Releases it: an item is done if the command has `succeeded`, and otherwise returns to the
    /// list. Returns whether it was held until then.
    pub(super) fn release(self, succeeded: bool) -> Result<bool, Error> {
        // Not by its guard, which returns the item whatever became of the work.
        self.claim.map(Claim::keep);
        self.what.release(&self.client, self.token, succeeded)
    }

    /// What it is, for messages.
    pub(super) fn description(&self) -> String {
        self.what.description()
    }
}

impl What {
    /// Releases what is held under a token: an item is done if the work has `succeeded`, and otherwise
    /// returns to the list. Returns whether it was held until then.
    pub(crate) fn release(
        &self,
        client: &Client,
        token: u64,
        succeeded: bool,
    ) -> Result<bool, Error> {
        match self {
            What::Lock(name) => client.lock(name).unlock(token),
            What::Permits { name, permits, .. } => client.semaphore(name, *permits).release(token),
            What::Item(name) if succeeded => client.list(name).done(token),
            What::Item(name) => client.list(name).give_back(token),
        }
    }

    /// What it is, for messages.
    pub(crate) fn description(&self) -> String {
        match self {
            What::Lock(name) => format!("the lock `{name}`"),
            What::Permits { name, .. } => format!("the semaphore `{name}`"),
            What::Item(name) => format!("the item of `{name}`"),
        }
    }
}

/// Claims an item for as long as the session lives. While a request waits, its session is not used,
/// so a long wait is several requests.
fn claim(
    client: &Client,
    name: &str,
    hold: Duration,
    now: bool,
    timeout: Duration,
) -> Result<Option<Taken>, Error> {
    let list = client.list(name).with_hold(Hold::Session);
    let deadline = Instant::now() + timeout;
    let claim = loop {
        if now {
            break list.try_claim()?;
        }
        let left = deadline.saturating_duration_since(Instant::now());
        match list.claim(left.min(hold / 2)) {
            Err(Error::TimedOut { .. }) if left > hold / 2 => {}
            claimed => break Some(claimed?),
        }
    };
    Ok(claim.map(|claim| Taken { token: claim.token(), claim: Some(claim) }))
}

/// How many holders an inspection names at most: not fewer than this.
const HOLDERS_NAMED: usize = 64;
