//! The reloaders of all watched files, while the server is built.

use std::sync::Arc;

use crate::reload::{FileHealth, FileReloader, PollFile, Reloadable};

/// The reloaders of all watched files, and their health for `/readyz`.
#[derive(Default)]
pub struct FileReloaders {
    /// Each needs a thread that polls its file.
    pub(super) pollers: Vec<Box<dyn PollFile>>,
    /// The health of each file, in the order of `/readyz`.
    pub(super) health: Vec<Arc<FileHealth>>,
}

impl FileReloaders {
    /// Adds a reloader, and returns what `content` takes from its target: the shared value that it keeps current.
    pub(super) fn add<T: Reloadable + 'static, C>(
        &mut self,
        reloader: FileReloader<T>,
        content: impl FnOnce(&T) -> C,
    ) -> C {
        let content = content(reloader.target());
        self.health.push(reloader.health());
        self.pollers.push(Box::new(reloader));
        content
    }
}
