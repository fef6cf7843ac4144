//! Compression ratio by layer type.

use std::collections::BTreeSet;

use crate::document::{Cell, Column, Table};
use crate::format::fixed;
use crate::study::Study;
use crate::sums::Sums;

/// Compression ratio by layer type.
pub(crate) fn layer_types(study: &Study, synthetic: bool) -> Table {
    let types: BTreeSet<&str> =
        study.measured().filter(|row| row.synthetic == synthetic).map(|row| row.layer_type.as_str()).collect();
    let kind = if synthetic { "synthetic weights" } else { "real weights" };
    let mut table = Table::new(&format!("Ratio by layer type: {kind}"), &["codec"]);
    table.columns.extend(types.iter().map(|name| Column::number((*name).to_owned())));
    for contender in &study.contenders {
        let of = |kind: &str| {
            let rows = study
                .measured()
                .filter(|row| row.codec == contender.codec && row.synthetic == synthetic && row.layer_type == kind);
            let sums = Sums::over(rows);
            Cell::optional((sums.tensors > 0).then(|| sums.ratio()), |ratio| format!("{}x", fixed(ratio, 2)))
        };
        let cells: Vec<Cell> = types.iter().map(|kind| of(kind)).collect();
        if cells.iter().any(|cell| cell.sort.is_some()) {
            table.rows.push(std::iter::once(Cell::text(&contender.label)).chain(cells).collect());
        }
    }
    table
}
