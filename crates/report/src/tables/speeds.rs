//! Speed of every contender over a scope.

use std::collections::BTreeSet;

use super::cells::speed_cell;
use crate::document::{Cell, Table};
use crate::format::significant;
use crate::study::{Point, Scope, Study};

/// Speed of every contender over a scope.
pub(crate) fn speeds(study: &Study, scope: Scope) -> Table {
    let roof = study.run.memcpy_bytes_per_second / 4.0;
    let mut table = Table::new(
        &format!("Speed: {}", scope.name()),
        &["codec", "#encode weights/s", "#decode weights/s", "#decode / memcpy", "#threads encode / decode"],
    );
    for Point { contender, sums, .. } in study.points(scope) {
        let decode = sums.decode_speed();
        let list = |threads: &BTreeSet<usize>| threads.iter().map(usize::to_string).collect::<Vec<_>>().join(", ");
        let threads = format!("{} / {}", list(&sums.threads), list(&sums.decode_threads));
        table.rows.push(vec![
            Cell::text(&contender.label),
            speed_cell(sums.encode_speed()),
            speed_cell(decode),
            Cell::optional(decode.filter(|_| roof > 0.0).map(|speed| speed / roof), |part| significant(part, 3)),
            Cell::text(threads),
        ]);
    }
    table
}
