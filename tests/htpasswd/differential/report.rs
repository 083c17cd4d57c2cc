//! The report of the comparison: the number of equal results by program, and the differences by class.

use std::collections::BTreeMap;
use std::fmt::Write;

use super::known_differences::{KnownDifference, classes};
use super::{Oracle, OracleVerdict, Verdicts};

/// Number of unexplained differences that a failure lists.
const SHOWN: usize = 25;

/// A class, and how often each program is in it.
struct Row {
    class: &'static KnownDifference,
    counts: Vec<(Oracle, usize)>,
}

pub(crate) struct Report {
    /// Counts per format: the number of accepted and of refused pairs.
    formats: BTreeMap<&'static str, (usize, usize)>,
    /// Counts per program: the number of checks and of equal results.
    agreements: Vec<(Oracle, usize, usize)>,
    rows: Vec<Row>,
    unexplained: Vec<String>,
}

impl Report {
    pub(crate) fn of(verdicts: &[Verdicts]) -> Self {
        let mut rows: Vec<Row> = classes()
            .map(|class| Row { class, counts: class.who.iter().map(|who| (*who, 0)).collect() })
            .collect();
        let mut unexplained = Vec::new();
        let mut agreements: Vec<_> = Oracle::ALL.iter().map(|oracle| (*oracle, 0, 0)).collect();
        for verdict in verdicts {
            for ((oracle, said), tally) in verdict.others.into_iter().zip(&mut agreements) {
                if said == OracleVerdict::Unaskable {
                    continue;
                }
                tally.1 += 1;
                if said == verdict.doorward {
                    tally.2 += 1;
                    continue;
                }
                let explains = |class: &KnownDifference| {
                    class.says == said
                        && class.doorward.contains(&verdict.doorward)
                        && class.who.contains(&oracle)
                        && (class.holds)(&verdict.case)
                };
                // The first matching class is used, so narrow classes precede wide ones.
                match rows.iter_mut().find(|row| explains(row.class)) {
                    Some(row) => {
                        row.counts.iter_mut().filter(|(who, _)| *who == oracle).for_each(|c| c.1 += 1)
                    }
                    None => unexplained.push(format!(
                        "{} {}, doorward {}: {}: {}",
                        oracle.name(),
                        said.word(),
                        verdict.doorward.word(),
                        verdict.case.what,
                        verdict.case.text.escape_ascii()
                    )),
                }
            }
        }
        let mut formats = BTreeMap::<_, (usize, usize)>::new();
        for verdict in verdicts {
            let (accepted, refused) = formats.entry(verdict.case.format()).or_default();
            *(if verdict.doorward == OracleVerdict::Accepts { accepted } else { refused }) += 1;
        }
        Self { formats, agreements, rows, unexplained }
    }

    /// Returns the two tables as in the documentation.
    pub(crate) fn markdown(&self) -> String {
        let accepted: usize = self.formats.values().map(|(accepted, _)| accepted).sum();
        let refused: usize = self.formats.values().map(|(_, refused)| refused).sum();
        let mut text = format!(
            "{} pairs of a line and a password; doorward accepts {accepted} and refuses {refused}.\n\n",
            accepted + refused
        );
        text += "| the hash's format | doorward accepts | refuses |\n|---|---:|---:|\n";
        for (format, (accepted, refused)) in &self.formats {
            writeln!(text, "| {format} | {accepted} | {refused} |").unwrap();
        }
        text += "\n| who | asked | agrees | disagrees |\n|---|---:|---:|---:|\n";
        for (oracle, asked, agrees) in &self.agreements {
            writeln!(text, "| {} | {asked} | {agrees} | {} |", oracle.name(), asked - agrees).unwrap();
        }
        text += "\n| the line, or the password | who disagrees (pairs) | says | doorward | why |\n|---|---|---|---|---|\n";
        for Row { class, counts } in &self.rows {
            let who: Vec<String> =
                counts.iter().map(|(oracle, count)| format!("{} ({count})", oracle.name())).collect();
            let ours: Vec<&str> = class.doorward.iter().map(|said| said.word()).collect();
            let (who, says, ours) = (who.join(", "), class.says.word(), ours.join(" or "));
            writeln!(text, "| {} | {who} | {says} | {ours} | {} |", class.pattern, class.why).unwrap();
        }
        text
    }

    pub(crate) fn assert_explained(&self) {
        let some = &self.unexplained[..self.unexplained.len().min(SHOWN)];
        assert!(
            some.is_empty(),
            "{} disagreements are not explained:\n{}",
            self.unexplained.len(),
            some.join("\n")
        );
        let empty: Vec<String> = self
            .rows
            .iter()
            .flat_map(|row| row.counts.iter().map(move |(oracle, count)| (row, oracle, count)))
            .filter(|(_, _, count)| **count == 0)
            .map(|(row, oracle, _)| format!("{}: {}", row.class.pattern, oracle.name()))
            .collect();
        assert!(empty.is_empty(), "no pair falls into these classes:\n{}", empty.join("\n"));
    }
}
