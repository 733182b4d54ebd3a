//! The results of saved runs as short tables of Markdown, for BENCHMARKS.md. The rest is in the
//! JSON.

use crate::record::RunRecord;
use crate::tables::{TextTable, tables};

/// Writes a section: command, commit and machine, and the tables.
pub(super) fn section(record: &RunRecord) -> String {
    let RunRecord { command, commit, date, notes, machine, .. } = record;
    let mut text = format!(
        "`{command}`, commit {commit}, {date}, {}, {} cores, Linux {}\n",
        machine.cpu, machine.cores, machine.kernel
    );
    tables(record).iter().for_each(|it| text += &table(it));
    if !notes.is_empty() {
        text += "\n";
    }
    notes.iter().for_each(|note| text += &format!("* {note}\n"));
    text
}

fn table(table: &TextTable) -> String {
    let line = |cells: &[String]| {
        let cells = cells.iter().map(|cell| match &**cell {
            "" => " |".to_owned(),
            cell => format!(" {cell} |"),
        });
        format!("|{}\n", cells.collect::<String>())
    };
    let lines: String = table.lines.iter().map(|cells| line(cells)).collect();
    format!("\n{}|{}\n{lines}", line(&table.heads), "---|".repeat(table.heads.len()))
}
