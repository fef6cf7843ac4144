//! A transformer as data: what is computed in which order, and which tensor of the checkpoint each step multiplies.
//!
//! Every family of models is an instance: [`config`](crate::config) fills these structures from a `config.json` and the names of the
//! checkpoint's tensors. Nothing here knows a family.

/// A whole model.
#[derive(Debug, Clone, PartialEq)]
pub struct Description {
    /// `model_type` of the configuration.
    pub family: String,
    /// Rows of the embedding.
    pub vocabulary: usize,
    /// Values of a hidden state.
    pub width: usize,
    /// The longest sequence the model was made for.
    pub context: usize,
    /// Tokens to hidden states.
    pub embedding: Embedding,
    /// In the order of execution.
    pub blocks: Vec<Block>,
    /// Hidden states to scores.
    pub head: Head,
}

/// Tokens to hidden states.
#[derive(Debug, Clone, PartialEq)]
pub struct Embedding {
    /// Tensor `[vocabulary, width]`.
    pub tokens: String,
    /// What its rows are multiplied by.
    pub scale: f32,
    /// Learned positions, `[positions, width]`: the row of a token's position is added.
    pub positions: Option<String>,
    /// Learned sentence types, `[types, width]`: the first row is added.
    pub types: Option<String>,
    /// Applied to the sum.
    pub norm: Option<Norm>,
}

/// What kind of normalisation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NormKind {
    /// Root mean square (Zhang, Sennrich 2019).
    Rms,
    /// Mean and deviation (Ba, Kiros, Hinton 2016).
    Layer,
}

/// A normalisation of rows.
#[derive(Debug, Clone, PartialEq)]
pub struct Norm {
    /// The statistics it removes.
    pub kind: NormKind,
    /// Added to the variance.
    pub epsilon: f32,
    /// The gain's tensor.
    pub weight: String,
    /// Added to the gain: 1 where it is stored as a difference from one.
    pub offset: f32,
    /// The shift's tensor.
    pub bias: Option<String>,
}

/// `y = x w^T + b`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Linear {
    /// The weight's tensor, `[outputs, inputs]`.
    pub weight: String,
    /// Which matrix of a three-dimensional tensor `[experts, outputs, inputs]`.
    pub expert: Option<usize>,
    /// The checkpoint holds `[inputs, outputs]` instead.
    pub transposed: bool,
    /// The bias's tensor, `[outputs]`.
    pub bias: Option<String>,
    /// Columns.
    pub inputs: usize,
    /// Rows.
    pub outputs: usize,
}

/// Attention, then a feed-forward network.
#[derive(Debug, Clone, PartialEq)]
pub struct Block {
    /// How the halves meet the residual stream.
    pub residual: Residual,
    /// Of what attention reads.
    pub attention_input: Option<Norm>,
    /// Mixes tokens.
    pub attention: Attention,
    /// Of what attention adds.
    pub attention_output: Option<Norm>,
    /// Of what the feed-forward network reads.
    pub feed_forward_input: Option<Norm>,
    /// Works on each token.
    pub feed_forward: FeedForward,
    /// Of what it adds.
    pub feed_forward_output: Option<Norm>,
}

/// How a block's halves meet the residual stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Residual {
    /// `x += attention(x)`, then `x += feed_forward(x)`.
    Sequential,
    /// `x += attention(x) + feed_forward(x)`.
    Parallel,
    /// As `Sequential`, with the output norms behind the sum: `x = norm(x + attention(x))`.
    PostNorm,
}

/// Attention over a sequence.
#[derive(Debug, Clone, PartialEq)]
pub struct Attention {
    /// Query heads.
    pub heads: usize,
    /// Key and value heads: each serves `heads / key_heads` query heads.
    pub key_heads: usize,
    /// Values of a head.
    pub head_size: usize,
    /// Inputs to queries, keys and values.
    pub projections: Projections,
    /// Of queries, before they are rotated.
    pub query_norm: Option<Norm>,
    /// Of keys, before they are rotated.
    pub key_norm: Option<Norm>,
    /// What these norms span.
    pub norm_span: NormSpan,
    /// Positions, where they are rotations.
    pub rotary: Option<Rotary>,
    /// What scores are multiplied by.
    pub scale: f32,
    /// `cap tanh(score / cap)`.
    pub soft_cap: Option<f32>,
    /// A token sees this many tokens up to itself.
    pub window: Option<usize>,
    /// A token sees no later one.
    pub causal: bool,
    /// Of the heads' answers.
    pub output: Linear,
}

/// What the norms of queries and keys span.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NormSpan {
    /// Each head by itself.
    Head,
    /// All heads together.
    All,
}

/// Where queries, keys and values come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Projections {
    /// Three products.
    Separate {
        /// `[heads * head_size, width]`.
        query: Linear,
        /// `[key_heads * head_size, width]`.
        key: Linear,
        /// `[key_heads * head_size, width]`.
        value: Linear,
    },
    /// One product whose outputs are all queries, then all keys, then all values.
    Stacked(Linear),
    /// One product whose outputs are query, key and value of the first head, then of the second.
    Interleaved(Linear),
}

/// Rotary positions (Su et al. 2021): values `i` and `i + size / 2` of a head are a pair that turns with the position.
#[derive(Debug, Clone, PartialEq)]
pub struct Rotary {
    /// Values of a head that turn; the rest stays.
    pub size: usize,
    /// Wavelengths run geometrically from `2 pi` to `2 pi base`.
    pub base: f64,
    /// How contexts beyond the trained one are reached.
    pub scaling: Scaling,
}

/// Rotary positions beyond the trained context.
#[derive(Debug, Clone, PartialEq)]
pub enum Scaling {
    /// None.
    None,
    /// Positions are divided (Chen et al. 2023).
    Linear {
        /// By what.
        factor: f64,
    },
    /// The base grows with the sequence beyond the trained context.
    Dynamic {
        /// How far.
        factor: f64,
        /// The trained context.
        trained: usize,
    },
    /// Long wavelengths are divided, short ones kept, those between interpolated (Llama 3.1).
    Llama3 {
        /// By what.
        factor: f64,
        /// Wavelengths above `trained / low` are divided.
        low: f64,
        /// Wavelengths below `trained / high` are kept.
        high: f64,
        /// The trained context.
        trained: usize,
    },
    /// The same with a ramp over frequencies, and sharper attention (Peng et al. 2023).
    Yarn {
        /// By what.
        factor: f64,
        /// Rotations over the trained context above which a frequency is kept.
        fast: f64,
        /// Rotations below which it is divided.
        slow: f64,
        /// Whether the ramp's ends are whole numbers.
        truncate: bool,
        /// The trained context.
        trained: usize,
        /// What sines and cosines are multiplied by.
        sharpness: f64,
    },
    /// A divisor for each frequency, one set within the trained context and one beyond it (Ding et al. 2024).
    Long {
        /// Divisors within.
        short: Vec<f64>,
        /// Divisors beyond.
        long: Vec<f64>,
        /// The trained context.
        trained: usize,
        /// What sines and cosines are multiplied by.
        sharpness: f64,
    },
}

/// What works on each token by itself.
#[derive(Debug, Clone, PartialEq)]
#[expect(clippy::large_enum_variant, reason = "one a block: a few hundred bytes do not count")]
pub enum FeedForward {
    /// One network for all tokens.
    Dense(Mlp),
    /// Each token goes to a few of many networks.
    Experts(Experts),
}

/// Two layers.
#[derive(Debug, Clone, PartialEq)]
pub struct Mlp {
    /// The first layer.
    pub first: First,
    /// Between the layers.
    pub activation: Activation,
    /// The second layer.
    pub down: Linear,
    /// Values between the layers.
    pub inner: usize,
}

/// The first layer of a network.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum First {
    /// `activation(up x)`.
    Plain(Linear),
    /// `activation(gate x) * up x` (Shazeer 2020).
    Gated {
        /// What the activation sees.
        gate: Linear,
        /// What it scales.
        up: Linear,
    },
    /// The same, as one product whose outputs are gate, then up.
    FusedGated(Linear),
}

/// What stands between two layers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Activation {
    /// `x sigmoid(x)`.
    Silu,
    /// `x Phi(x)` (Hendrycks, Gimpel 2016).
    Gelu,
    /// The same by a hyperbolic tangent.
    GeluTanh,
    /// `max(x, 0)`.
    Relu,
    /// `max(x, 0)^2`.
    ReluSquared,
}

/// A mixture of experts.
#[derive(Debug, Clone, PartialEq)]
pub struct Experts {
    /// Scores of the experts, whose softmax weighs them.
    pub router: Linear,
    /// Experts a token goes to.
    pub chosen: usize,
    /// The weights of the chosen ones are scaled to sum to one.
    pub renormalise: bool,
    /// All of them.
    pub experts: Vec<Mlp>,
    /// One that every token goes to.
    pub shared: Option<Shared>,
}

/// The expert that every token goes to.
#[derive(Debug, Clone, PartialEq)]
pub struct Shared {
    /// The network.
    pub network: Mlp,
    /// One output, whose sigmoid weighs the network's.
    pub gate: Option<Linear>,
}

/// Hidden states to scores of the next token, or for encoders to nothing more than a last norm.
#[derive(Debug, Clone, PartialEq)]
pub struct Head {
    /// Before the product.
    pub norm: Option<Norm>,
    /// `[vocabulary, width]`: the embedding's own tensor where both are tied. `None` for encoders.
    pub product: Option<Linear>,
    /// `cap tanh(score / cap)`.
    pub soft_cap: Option<f32>,
}

impl Linear {
    /// A product without bias.
    pub fn new(weight: impl Into<String>, outputs: usize, inputs: usize) -> Self {
        Self { weight: weight.into(), expert: None, transposed: false, bias: None, inputs, outputs }
    }
}

impl Mlp {
    /// Its products in the order of execution.
    pub fn linears(&self) -> Vec<&Linear> {
        let mut linears = match &self.first {
            First::Plain(first) | First::FusedGated(first) => vec![first],
            First::Gated { gate, up } => vec![gate, up],
        };
        linears.push(&self.down);
        linears
    }
}

impl Block {
    /// Its products in the order of execution.
    pub fn linears(&self) -> Vec<&Linear> {
        let mut linears = match &self.attention.projections {
            Projections::Separate { query, key, value } => vec![query, key, value],
            Projections::Stacked(all) | Projections::Interleaved(all) => vec![all],
        };
        linears.push(&self.attention.output);
        match &self.feed_forward {
            FeedForward::Dense(network) => linears.extend(network.linears()),
            FeedForward::Experts(experts) => {
                linears.push(&experts.router);
                linears.extend(experts.experts.iter().flat_map(Mlp::linears));
                if let Some(shared) = &experts.shared {
                    linears.extend(&shared.gate);
                    linears.extend(shared.network.linears());
                }
            }
        }
        linears
    }

    /// Its norms in the order of execution.
    pub fn norms(&self) -> Vec<&Norm> {
        let attention = &self.attention;
        [&self.attention_input, &attention.query_norm, &attention.key_norm, &self.attention_output]
            .into_iter()
            .chain([&self.feed_forward_input, &self.feed_forward_output])
            .flatten()
            .collect()
    }
}
