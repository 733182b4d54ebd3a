//! The rules of the protocol, and the switches that leave one out to test that its absence is
//! noticed.

/// Declares [`Rules`]: one method for each rule, and in tests and the simulator a switch for it.
macro_rules! rules {
    ($($(#[$doc:meta])+ $rule:ident,)+) => {
        /// The rules that a node follows.
        ///
        /// A deployed node follows all of them and has no switch: the type is empty there, and
        /// every method is the constant `true`. In tests and in the simulator one rule can be left
        /// out.
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
        pub struct Rules {
            #[cfg(any(test, feature = "sim"))]
            left_out: Option<&'static str>,
        }

        impl Rules {
            $(
                $(#[$doc])+
                #[inline(always)]
                pub(crate) fn $rule(&self) -> bool {
                    self.follows(stringify!($rule))
                }
            )+
        }

        /// The names of all rules, each of which can be left out.
        #[cfg(any(test, feature = "sim"))]
        pub const RULES: &[&str] = &[$(stringify!($rule)),+];
    };
}

rules! {
    /// A member acts in an epoch only after all lease grants it gave in older epochs have expired.
    drain,
    /// While it appends a learner, a tail acknowledges only what the learner has.
    gate,
    /// While a member appends a learner, it grants no leases.
    stop_grant,
    /// While a member appends a learner, it serves no reads.
    stop_read,
    /// The order of the chains changes only when no member accepts updates and all logs are equal.
    rest,
    /// An append is sent only after the cores have confirmed that they stopped.
    confirm,
    /// A record change of unknown outcome is under way until the register has another record than
    /// its base.
    resolve,
    /// A new member assumes that it has just granted a lease to every node.
    implied,
    /// A reader needs a grant of every other member, not just of a neighbour.
    all_peers,
    /// A member grants only to members in its own epoch, and a grant counts only in that epoch.
    own_epoch,
    /// A holder uses a grant for a shorter time than its granter honours it, by as much as their
    /// clocks may drift.
    drift,
    /// A node never returns to an older epoch.
    forward,
    /// Frames of another epoch are ignored.
    epoch_check,
    /// A member that restarts with its state changes the epoch before it acts.
    bump,
    /// A reply waits until all members have the entries it depends on.
    hold,
    /// A read waits until everything it saw is committed.
    clean_wait,
    /// A shard's time goes on by elapsed time when another node becomes its head.
    elapsed,
    /// A wait whose connection has ended is passed over, and forgotten if it is not retried.
    detach,
    /// A removed node rejoins under a new id.
    fresh_incarnation,
    /// A node recognizes its own record change by the change's id.
    one_change_id,
    /// A removed node gives its leases back only after its cores have confirmed that they stopped.
    leave_last,
    /// A learner that falls behind limits what is committed, so that it catches up.
    pace,
    /// A state transfer that waits for room on a link continues when the link has drained.
    drained,
}

impl Rules {
    /// Returns all rules but one.
    ///
    /// # Errors
    ///
    /// If no rule has this name.
    #[cfg(any(test, feature = "sim"))]
    pub fn without(rule: &str) -> Result<Rules, UnknownRule> {
        match RULES.iter().find(|known| **known == rule) {
            Some(known) => Ok(Rules { left_out: Some(known) }),
            None => Err(UnknownRule { rule: rule.into() }),
        }
    }

    /// Returns the rule that is left out, if any.
    #[cfg(any(test, feature = "sim"))]
    pub fn left_out(&self) -> Option<&'static str> {
        self.left_out
    }

    #[inline(always)]
    fn follows(&self, rule: &str) -> bool {
        #[cfg(any(test, feature = "sim"))]
        return self.left_out != Some(rule);
        #[cfg(not(any(test, feature = "sim")))]
        {
            let _ = rule;
            true
        }
    }
}

/// The error for a name that no rule has.
#[cfg(any(test, feature = "sim"))]
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("there is no rule `{rule}`; the rules are {}", RULES.join(", "))]
pub struct UnknownRule {
    /// The name that was given.
    pub rule: alloc::string::String,
}

#[cfg(not(any(test, feature = "sim")))]
const _: () = assert!(size_of::<Rules>() == 0, "a deployed node has no switches");
