//! Raw samples: recorded during a run, appended as TSV, and read again for the report.

use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::path::PathBuf;
use std::time::{SystemTime, UNIX_EPOCH};

use crate::options::Options;
use crate::{Fallible, machine};

/// One measured value.
#[derive(Clone)]
pub(crate) struct Sample {
    /// The name of the comparison, for example `bare tcp 64`. Contestants of one case are compared with each other.
    pub(crate) case: String,
    pub(crate) contestant: String,
    pub(crate) round: usize,
    pub(crate) metric: String,
    pub(crate) value: f64,
}

/// The samples of one run of one part.
#[derive(Default)]
pub(crate) struct Samples(pub(crate) Vec<Sample>);

impl Samples {
    /// Returns all cases, in the order of their first sample.
    pub(crate) fn cases(&self) -> Vec<&str> {
        distinct(self.0.iter().map(|sample| &*sample.case))
    }

    /// Returns all contestants of a case, in the order of the first round.
    pub(crate) fn contestants(&self, case: &str) -> Vec<&str> {
        distinct(self.0.iter().filter(|sample| sample.case == case).map(|sample| &*sample.contestant))
    }

    /// Returns the values of all rounds.
    pub(crate) fn values(&self, case: &str, contestant: &str, metric: &str) -> Vec<f64> {
        self.rounds(case, contestant, metric).map(|sample| sample.value).collect()
    }

    /// Returns for each round the value of one contestant, divided by that of another in the same round.
    pub(crate) fn ratios(&self, case: &str, contestant: &str, base: &str, metric: &str) -> Vec<f64> {
        let base_of = |round| self.rounds(case, base, metric).find(|sample| sample.round == round);
        self.rounds(case, contestant, metric)
            .filter_map(|sample| Some(sample.value / base_of(sample.round)?.value))
            .filter(|ratio| ratio.is_finite())
            .collect()
    }

    fn rounds<'a>(
        &'a self,
        case: &'a str,
        contestant: &'a str,
        metric: &'a str,
    ) -> impl Iterator<Item = &'a Sample> {
        self.0.iter().filter(move |s| s.case == case && s.contestant == contestant && s.metric == metric)
    }
}

fn distinct<'a>(all: impl Iterator<Item = &'a str>) -> Vec<&'a str> {
    let mut found = Vec::new();
    for one in all {
        if !found.contains(&one) {
            found.push(one);
        }
    }
    found
}

/// Keeps the samples of a run and appends each to `samples.tsv` of the results folder.
pub(crate) struct Recorder {
    run: u64,
    part: String,
    samples: Samples,
    notes: Vec<String>,
    versions: Vec<String>,
    file: File,
    facts: PathBuf,
}

impl Recorder {
    /// Starts a run: appends the facts about the machine, the versions and the command to `runs.tsv`.
    pub(crate) fn new(options: &Options, part: &str) -> Fallible<Self> {
        fs::create_dir_all(&options.results)?;
        let run = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs();
        let append =
            |name: &str| OpenOptions::new().create(true).append(true).open(options.results.join(name));
        let facts = options.results.join("runs.tsv");
        let mut recorder = Self {
            run,
            part: part.to_owned(),
            samples: Samples::default(),
            notes: Vec::new(),
            versions: Vec::new(),
            file: append("samples.tsv")?,
            facts,
        };
        for (key, value) in machine::facts(options) {
            recorder.fact(key, &value)?;
        }
        recorder.fact("command", &Options::command(part))?;
        Ok(recorder)
    }

    /// Appends a fact about this run.
    pub(crate) fn fact(&mut self, key: &str, value: &str) -> Fallible<()> {
        let value = value.replace(['\t', '\n'], " ");
        let mut file = OpenOptions::new().create(true).append(true).open(&self.facts)?;
        writeln!(file, "{}\t{}\t{key}\t{value}", self.run, self.part)?;
        Ok(())
    }

    /// Appends the version of a program once.
    pub(crate) fn version(&mut self, text: &str) -> Fallible<()> {
        if self.versions.iter().any(|known| known == text) {
            return Ok(());
        }
        self.versions.push(text.to_owned());
        self.fact("version", text)
    }

    /// Keeps a sentence that is printed below the table and in the report: a contestant that was skipped, a noisy round.
    pub(crate) fn note(&mut self, text: String) -> Fallible<()> {
        eprintln!("{text}");
        self.fact("note", &text)?;
        self.notes.push(text);
        Ok(())
    }

    /// Appends one sample.
    pub(crate) fn sample(
        &mut self,
        case: &str,
        contestant: &str,
        round: usize,
        metric: &str,
        value: f64,
    ) -> Fallible<()> {
        let line = format!("{}\t{}\t{case}\t{contestant}\t{round}\t{metric}\t{value}\n", self.run, self.part);
        self.file.write_all(line.as_bytes())?;
        self.samples.0.push(Sample {
            case: case.to_owned(),
            contestant: contestant.to_owned(),
            round,
            metric: metric.to_owned(),
            value,
        });
        Ok(())
    }

    pub(crate) fn samples(&self) -> &Samples {
        &self.samples
    }

    pub(crate) fn notes(&self) -> &[String] {
        &self.notes
    }
}

/// The last run of a part that the results folder has.
pub(crate) struct Run {
    pub(crate) samples: Samples,
    /// Keys and values, in the order in which they were recorded.
    pub(crate) facts: Vec<(String, String)>,
}

/// Reads the last run of a part. It is `None` if the part was never run to its first sample.
pub(crate) fn last_run(options: &Options, part: &str) -> Fallible<Option<Run>> {
    let read = |name: &str| {
        let path = options.results.join(name);
        fs::read_to_string(&path).map_err(|error| format!("{}: {error}", path.display()))
    };
    let (samples, facts) = (read("samples.tsv")?, read("runs.tsv")?);
    let rows = || samples.lines().map(|line| line.split('\t').collect::<Vec<_>>());
    let runs =
        rows().filter(|row| row.get(1) == Some(&part)).filter_map(|row| row.first()?.parse::<u64>().ok());
    let Some(last) = runs.max() else { return Ok(None) };
    let last = last.to_string();
    let mut found = Samples::default();
    for row in rows().filter(|row| row.first() == Some(&&*last) && row.get(1) == Some(&part)) {
        let [_, _, case, contestant, round, metric, value] = row.as_slice() else {
            return Err("samples.tsv has a line without seven columns".into());
        };
        found.0.push(Sample {
            case: (*case).to_owned(),
            contestant: (*contestant).to_owned(),
            round: round.parse()?,
            metric: (*metric).to_owned(),
            value: value.parse()?,
        });
    }
    let facts = facts.lines().filter_map(|line| {
        let mut columns = line.splitn(4, '\t');
        let belongs = columns.next() == Some(&last) && columns.next() == Some(part);
        let pair = (columns.next()?.to_owned(), columns.next()?.to_owned());
        belongs.then_some(pair)
    });
    Ok(Some(Run { samples: found, facts: facts.collect() }))
}
