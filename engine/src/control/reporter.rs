//! The member's reports as log lines: what happened, and what follows from it.

use catena_core::chain::member::{MemberReport, Suspicion};
use catena_core::chain::record::{ChangeKind, NodeId, OnTotalLoss, Record};

/// Writes the member's reports to the log, and the same error only once.
#[derive(Debug, Default)]
pub(super) struct Reporter {
    /// The last error about an invalid record or epoch.
    bad_record: Option<String>,
}

impl Reporter {
    pub(super) fn log(
        &mut self,
        name: impl Fn(NodeId) -> String,
        record: Option<&Record>,
        report: &MemberReport,
    ) {
        match report {
            MemberReport::Suspected {
                node,
                why: why @ (Suspicion::Leaving | Suspicion::Operator),
            } => {
                tracing::info!(%node, "{} is going to be removed: {why}", name(*node));
            }
            MemberReport::Suspected { node, why } => {
                tracing::warn!(
                    %node,
                    "{} may have failed ({why}): unless that changes, the cluster removes it",
                    name(*node),
                );
            }
            MemberReport::Proposed { kind, subject } => {
                let subject = subject.map(&name).unwrap_or_default();
                match kind {
                    ChangeKind::Create => tracing::info!("proposes to create the cluster"),
                    ChangeKind::Remove => tracing::info!("proposes to remove {subject}"),
                    ChangeKind::Append => tracing::info!("proposes to add {subject}"),
                    ChangeKind::Reorder => tracing::info!("proposes to reorder the chains"),
                    ChangeKind::Bump => tracing::info!("proposes the next epoch"),
                }
            }
            MemberReport::Epoch { epoch, member } => {
                self.bad_record = None;
                let chain = record.and_then(|record| record.chains.first());
                let members: Vec<String> =
                    chain.into_iter().flatten().copied().map(&name).collect();
                let members = members.join(", ");
                let standing = if *member { "a member" } else { "not a member" };
                tracing::info!(
                    epoch,
                    "epoch {epoch} has the members {members}; this node is {standing}"
                );
            }
            MemberReport::Active { epoch } => {
                tracing::info!(epoch, "this node is active in epoch {epoch}")
            }
            MemberReport::LearnerDropped { learner } => tracing::warn!(
                node = %learner,
                "{} was not added, because it or the register did not reply in time; it may retry",
                name(*learner),
            ),
            MemberReport::TotalLoss { silent_s } => {
                let then = match record.map(|record| record.settings.on_total_loss) {
                    Some(OnTotalLoss::Empty) => {
                        "This node replaces them with no objects, as the cluster was created with \
                         --on-total-loss empty"
                    }
                    Some(OnTotalLoss::Halt) | None => {
                        "If none comes back, the objects are lost: create another cluster \
                         (--cluster-name)"
                    }
                };
                let members: Vec<String> = record.into_iter().flat_map(Record::members).map(&name).collect();
                tracing::error!(
                    "no member of the cluster ({}) has replied for {silent_s} s, and only members have \
                     its objects. {then}",
                    members.join(", "),
                );
            }
            MemberReport::BadRecord { from, why } => {
                let source = from.map_or_else(|| "the register".to_owned(), &name);
                let problem = match why {
                    Some(why) => why.to_string(),
                    None => "it is missing, belongs to another cluster, or contradicts the known \
                             record of its epoch"
                        .to_owned(),
                };
                self.log_once(format!("ignored the cluster's record from {source}: {problem}"));
            }
            MemberReport::BadEpoch { from, epoch, known } => self.log_once(format!(
                "ignored a message of {}: it says that it is in epoch {epoch}, and epoch {known} is \
                 the newest known here",
                name(*from),
            )),
        }
    }

    fn log_once(&mut self, text: String) {
        if self.bad_record.as_ref() != Some(&text) {
            tracing::error!("{text}");
            self.bad_record = Some(text);
        }
    }
}
