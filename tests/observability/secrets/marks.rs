//! Recognizable secrets, and the search for them.

use crate::support::secrets::find;
pub(super) use crate::support::secrets::secret;

/// All collected output.
#[derive(Default)]
pub(super) struct CollectedOutput(Vec<(String, Vec<u8>)>);

impl CollectedOutput {
    pub(super) fn keep(&mut self, what: &str, said: impl AsRef<[u8]>) {
        self.0.push((what.to_owned(), said.as_ref().to_vec()));
    }

    /// Fails and lists every place that contains the mark.
    pub(super) fn assert_clean(&self, title: &str) {
        let size: usize = self.0.iter().map(|(_, said)| said.len()).sum();
        assert!(self.0.len() > 10 && size > 1000, "only {size} bytes were searched");
        let found: Vec<String> = self
            .0
            .iter()
            .flat_map(|(what, said)| find(said).into_iter().map(move |at| format!("{what}, {at}")))
            .collect();
        let some = found[..found.len().min(20)].join("\n");
        assert!(found.is_empty(), "{title}: secrets were told {} times:\n{some}", found.len());
    }
}
