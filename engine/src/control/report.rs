//! What the member reports, said so that people know what happened and what follows.

use catena_core::chain::member::{Report, Suspicion};
use catena_core::chain::record::{ChangeKind, NodeId, OnTotalLoss, Record};

/// Tells people, and not the same again and again.
#[derive(Debug, Default)]
pub(super) struct Reporter {
    /// What was wrong with the last bad record.
    bad: Option<String>,
}

impl Reporter {
    pub(super) fn say(
        &mut self,
        name: impl Fn(NodeId) -> String,
        record: Option<&Record>,
        report: &Report,
    ) {
        match report {
            Report::Suspected { node, why: why @ (Suspicion::Leaving | Suspicion::Operator) } => {
                tracing::info!(%node, "{} is to be removed: {why}", name(*node));
            }
            Report::Suspected { node, why } => {
                tracing::warn!(
                    %node,
                    "{} may have failed ({why}): if nothing changes, the cluster goes on without it",
                    name(*node),
                );
            }
            Report::Proposed { kind, subject } => {
                let subject = subject.map(&name).unwrap_or_default();
                match kind {
                    ChangeKind::Create => tracing::info!("proposes to found the cluster"),
                    ChangeKind::Remove => tracing::info!("proposes to remove {subject}"),
                    ChangeKind::Append => tracing::info!("proposes to add {subject}"),
                    ChangeKind::Reorder => tracing::info!("proposes another order of the chains"),
                    ChangeKind::Bump => tracing::info!("proposes the next epoch"),
                }
            }
            Report::Epoch { epoch, member } => {
                self.bad = None;
                let chain = record.and_then(|record| record.chains.first());
                let members: Vec<String> =
                    chain.into_iter().flatten().copied().map(&name).collect();
                let members = members.join(", ");
                let standing = if *member { "a member" } else { "not a member" };
                tracing::info!(
                    epoch,
                    "epoch {epoch} has the members {members}: this node is {standing}"
                );
            }
            Report::Active { epoch } => {
                tracing::info!(epoch, "this node takes part in epoch {epoch}")
            }
            Report::LearnerDropped { learner } => tracing::warn!(
                node = %learner,
                "{} could not be added: it, or the register, did not answer in time. It may try again",
                name(*learner),
            ),
            Report::TotalLoss => {
                let then = match record.map(|record| record.settings.on_total_loss) {
                    Some(OnTotalLoss::Empty) => {
                        "This node takes their place, empty, as the cluster was founded to do"
                    }
                    Some(OnTotalLoss::Halt) | None => {
                        "What they held may be lost. If they do not come back, found another cluster \
                         (--cluster-name)"
                    }
                };
                tracing::error!(
                    "no member of the cluster has been heard for half a minute. {then}"
                );
            }
            Report::BadRecord { from, why } => {
                let source = from.map_or_else(|| "the register".to_owned(), &name);
                let what = match why {
                    Some(why) => why.to_string(),
                    None => "it is gone, of another cluster, or another one of the same epoch"
                        .to_owned(),
                };
                let text = format!("the cluster's record from {source} is not used: {what}");
                if self.bad.as_ref() != Some(&text) {
                    tracing::error!("{text}");
                    self.bad = Some(text);
                }
            }
        }
    }
}
