//! What all instances write together: each adds to it, one owner puts it together, and anybody may read it.
//!
//! An owner keeps one text for a ledger and knows nothing of it: what comes in is put together with what is there by
//! [`Ledger::merge`], one addition after another.

/// One of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ledger {
    /// What has been counted.
    #[cfg(feature = "telemetry")]
    Sums,
    /// What has been changed through the admin interface, and by whom.
    #[cfg(feature = "admin")]
    Changes,
    /// What has happened lately.
    #[cfg(feature = "admin")]
    Activity,
}

impl Ledger {
    /// Every one.
    #[cfg(all(feature = "telemetry", not(feature = "admin")))]
    pub const ALL: [Ledger; 1] = [Ledger::Sums];
    /// Every one.
    #[cfg(feature = "admin")]
    pub const ALL: [Ledger; 3] = [Ledger::Sums, Ledger::Changes, Ledger::Activity];
    /// Every one.
    #[cfg(not(feature = "telemetry"))]
    pub const ALL: [Ledger; 0] = [];

    /// What stores call it.
    pub fn name(self) -> &'static str {
        match self {
            #[cfg(feature = "telemetry")]
            Ledger::Sums => "sums",
            #[cfg(feature = "admin")]
            Ledger::Changes => "changes",
            #[cfg(feature = "admin")]
            Ledger::Activity => "activity",
        }
    }

    /// The one of this name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|ledger| ledger.name() == name)
    }

    /// The step of the owner: what it kept and what an instance adds make what it keeps. A text that is none of this ledger
    /// counts as nothing.
    pub fn merge(self, kept: &[u8], added: &[u8]) -> Vec<u8> {
        #[cfg(not(feature = "telemetry"))]
        let _ = (kept, added);
        match self {
            #[cfg(feature = "telemetry")]
            Ledger::Sums => crate::telemetry::metrics::merge(kept, added),
            #[cfg(feature = "admin")]
            Ledger::Changes => crate::admin::changes::merge(kept, added),
            #[cfg(feature = "admin")]
            Ledger::Activity => crate::admin::activity::merge(kept, added),
        }
    }
}
