//! Scores of the next token by our own forward pass, for comparison with other engines: `logits FOLDER OUT COUNT TOKEN...`.
//!
//! The tokens are first continued greedily, `COUNT` times. `OUT` gets 32-bit floats, a row for every token; all tokens are printed.

use std::path::Path;

use seedpress_transformer::Transformer;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [folder, out, count, tokens @ ..] = arguments.as_slice() else {
        return Err("logits FOLDER OUT COUNT TOKEN...".into());
    };
    let model = Transformer::open(Path::new(folder))?;
    let mut tokens: Vec<u32> = tokens.iter().map(|token| token.parse()).collect::<Result<_, _>>()?;
    tokens.extend(model.continue_greedily(&tokens, count.parse()?, &[])?);
    let bytes: Vec<u8> = model.scores(&tokens)?.iter().flat_map(|score| score.to_le_bytes()).collect();
    std::fs::write(out, bytes)?;
    println!("{}", tokens.iter().map(u32::to_string).collect::<Vec<_>>().join(" "));
    Ok(())
}
