//! What the bytes of a segment stand for.

/// What the bytes of a segment stand for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
#[repr(u8)]
pub enum Role {
    /// Values as they are.
    Raw = 0,
    /// Scales (and zero points or minima).
    Scales = 1,
    /// Codebook entries.
    Codebook = 2,
    /// Generator seeds.
    Seeds = 3,
    /// Coefficients on a generated or learned basis.
    Coefficients = 4,
    /// Block exponents.
    Exponents = 5,
    /// Quantisation indices.
    Indices = 6,
    /// Sign bits.
    Signs = 7,
    /// Probability tables and jump tables.
    Tables = 8,
    /// Values kept exactly: non-finite values and outliers.
    Exceptions = 9,
    /// Fixed blocks that interleave several roles, as GGUF's do.
    Blocks = 10,
}

impl Role {
    /// Every role, by its number on the wire.
    pub const ALL: [Role; 11] = [
        Role::Raw,
        Role::Scales,
        Role::Codebook,
        Role::Seeds,
        Role::Coefficients,
        Role::Exponents,
        Role::Indices,
        Role::Signs,
        Role::Tables,
        Role::Exceptions,
        Role::Blocks,
    ];

    /// The role with this number on the wire.
    pub fn from_wire(number: u8) -> Option<Self> {
        Self::ALL.get(usize::from(number)).copied()
    }

    /// The lower-case name reports use.
    pub fn name(self) -> &'static str {
        match self {
            Role::Raw => "raw",
            Role::Scales => "scales",
            Role::Codebook => "codebook",
            Role::Seeds => "seeds",
            Role::Coefficients => "coefficients",
            Role::Exponents => "exponents",
            Role::Indices => "indices",
            Role::Signs => "signs",
            Role::Tables => "tables",
            Role::Exceptions => "exceptions",
            Role::Blocks => "blocks",
        }
    }
}
