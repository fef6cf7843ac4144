//! Every codec and stage, for all targets.

use std::sync::LazyLock;

use seedpress::Registry;

/// Made at its first use.
pub(crate) static REGISTRY: LazyLock<Registry> = LazyLock::new(seedpress::registry);
