//! The rules of the protocol, and the switches that leave one out to see that something notices.

/// Declares [`Rules`]: one method for each rule, and in tests and the simulator a switch for it.
macro_rules! rules {
    ($($(#[$doc:meta])+ $rule:ident,)+) => {
        /// Which rules are followed. Each is named after what it demands.
        ///
        /// A deployed node follows all of them and has no switch: the type is empty there, and every
        /// method is the constant `true`. In tests and in the simulator a rule can be left out.
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

        /// The rules that can be left out.
        #[cfg(any(test, feature = "sim"))]
        pub const RULES: &[&str] = &[$(stringify!($rule)),+];
    };
}

rules! {
    /// A member acts in an epoch only after all grants it gave in older ones have ended.
    drain,
    /// While its append is under way, a tail acknowledges only what the learner has.
    gate,
    /// While its own change is under way, a member grants nothing.
    stop_grant,
    /// While its own change is under way, a member answers no reads.
    stop_read,
    /// The order of chains changes only while no member takes updates and all have the same.
    rest,
    /// The cores have confirmed that they stopped before a change leaves.
    confirm,
    /// A change of unknown outcome is under way until another record than its base is seen.
    resolve,
    /// A new member takes it that it granted to everybody just now.
    implied,
    /// A reader needs a grant of every other member, not just of a neighbour.
    all_peers,
    /// A member grants to those of its own epoch only, and the grant counts in that epoch only.
    own_epoch,
    /// A holder takes a grant for as much less than the granter as their clocks may drift.
    drift,
    /// Nobody goes back to an older epoch.
    forward,
    /// What another epoch sent is not taken.
    epoch_check,
    /// A member that restarts with its state changes the epoch before it acts.
    bump,
    /// An answer waits until all members have what it depends on.
    hold,
    /// A read waits until all it saw is committed.
    clean_wait,
    /// Whoever left comes back under another id.
    fresh_incarnation,
    /// Whether a change was our own is told by its id.
    one_change_id,
}

impl Rules {
    /// All rules but one.
    ///
    /// # Errors
    ///
    /// If there is no rule of this name.
    #[cfg(any(test, feature = "sim"))]
    pub fn without(rule: &str) -> Result<Rules, UnknownRule> {
        match RULES.iter().find(|known| **known == rule) {
            Some(known) => Ok(Rules { left_out: Some(known) }),
            None => Err(UnknownRule { rule: rule.into() }),
        }
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

/// A name that no rule has.
#[cfg(any(test, feature = "sim"))]
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("there is no rule `{rule}`; there are {}", RULES.join(", "))]
pub struct UnknownRule {
    /// The name that was given.
    pub rule: alloc::string::String,
}

#[cfg(not(any(test, feature = "sim")))]
const _: () = assert!(size_of::<Rules>() == 0, "a deployed node has no switches");
