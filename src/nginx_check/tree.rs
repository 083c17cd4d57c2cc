//! The directives of all files as one tree, with the included files in the places of their `include`, and the inheritance
//! of nginx.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::ptr;

use super::glob::{is_pattern, matches_path};
use super::statement::Statement;

/// Maximum depth of blocks and includes together, so that no walk of the tree exhausts the stack.
const DEPTH_MAX: usize = 64;

/// Maximum number of directives after the includes. A file can be included many times.
const DIRECTIVES_MAX: usize = 200_000;

/// Maximum number of includes that are followed. A file without directives can be included many times too.
const INCLUDES_MAX: usize = 20_000;

/// Maximum number of locations after the includes. Some rules compare each location with all others.
const LOCATIONS_MAX: usize = 5_000;

/// A parsed file.
pub(super) struct ParsedFile {
    /// The path that nginx opened.
    pub(super) path: String,
    /// The statements at its top level.
    pub(super) statements: Vec<Statement>,
}

/// An error of an include.
#[derive(Debug)]
pub(super) struct IncludeError {
    pub(super) file: String,
    pub(super) line: usize,
    pub(super) message: String,
}

/// An `include` whose file is not part of the input.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct MissingInclude {
    pub(super) file: String,
    pub(super) line: usize,
    pub(super) path: String,
}

#[derive(Default)]
struct Entry<'t> {
    statement: Option<&'t Statement>,
    file: &'t str,
    parent: usize,
    children: Vec<usize>,
    by_name: BTreeMap<&'t str, Vec<usize>>,
}

/// All directives. The first entry is the root, whose children are those of the main file.
pub(super) struct Tree<'t> {
    entries: Vec<Entry<'t>>,
    root: Entry<'t>,
    missing: Vec<MissingInclude>,
    locations: usize,
    includes: usize,
}

impl<'t> Tree<'t> {
    /// Builds the tree from the parsed files; the first one is the main file.
    pub(super) fn build(files: &'t [ParsedFile]) -> Result<Self, IncludeError> {
        let mut tree = Self {
            entries: vec![Entry::default()],
            root: Entry::default(),
            missing: Vec::new(),
            locations: 0,
            includes: 0,
        };
        if let Some(main) = files.first() {
            tree.root.file = &main.path;
            if let Some(root) = tree.entries.first_mut() {
                root.file = &main.path;
            }
            let folder = main.path.rfind('/').and_then(|at| main.path.get(..=at)).unwrap_or_default();
            let builder = TreeBuilder { files, folder, resolved: RefCell::default() };
            builder.add_statements(&mut tree, 0, main, 0)?;
        }
        tree.missing.sort();
        tree.missing.dedup();
        Ok(tree)
    }

    /// Returns the root, whose level is that of the main file.
    pub(super) const fn root(&self) -> Node<'_> {
        Node { tree: self, id: 0 }
    }

    /// Returns the included files that are not part of the input.
    pub(super) fn missing_includes(&self) -> &[MissingInclude] {
        &self.missing
    }

    /// Returns every directive in the order of the files.
    pub(super) fn nodes(&self) -> impl Iterator<Item = Node<'_>> {
        (1..self.entries.len()).map(|id| Node { tree: self, id })
    }

    fn entry(&self, id: usize) -> &Entry<'t> {
        self.entries.get(id).unwrap_or(&self.root)
    }
}

struct TreeBuilder<'t> {
    files: &'t [ParsedFile],
    /// The folder of the main file, with a final slash.
    folder: &'t str,
    /// The files of each path that was included before.
    resolved: RefCell<BTreeMap<&'t str, Vec<&'t ParsedFile>>>,
}

impl<'t> TreeBuilder<'t> {
    fn add_statements(
        &self,
        tree: &mut Tree<'t>,
        parent: usize,
        file: &'t ParsedFile,
        depth: usize,
    ) -> Result<(), IncludeError> {
        self.add_block(tree, parent, file, &file.statements, depth)
    }

    fn add_block(
        &self,
        tree: &mut Tree<'t>,
        parent: usize,
        file: &'t ParsedFile,
        statements: &'t [Statement],
        depth: usize,
    ) -> Result<(), IncludeError> {
        for statement in statements {
            let error =
                |message: String| IncludeError { file: file.path.clone(), line: statement.line, message };
            if depth > DEPTH_MAX {
                return Err(error(format!(
                    "more than {DEPTH_MAX} levels of blocks and includes; does a file include itself?"
                )));
            }
            let name = statement.words.first().map(String::as_str).unwrap_or_default();
            if let ("include", Some(path), None) = (name, statement.words.get(1), &statement.block) {
                let included = self.resolve(path);
                if included.is_empty() && !is_pattern(path) {
                    tree.missing.push(MissingInclude {
                        file: file.path.clone(),
                        line: statement.line,
                        path: path.clone(),
                    });
                }
                for included in included {
                    tree.includes += 1;
                    if tree.includes > INCLUDES_MAX {
                        return Err(error(format!("more than {INCLUDES_MAX} files are included")));
                    }
                    self.add_statements(tree, parent, included, depth + 1)?;
                }
                continue;
            }
            let id = tree.entries.len();
            if id >= DIRECTIVES_MAX {
                return Err(error(format!("the includes result in more than {DIRECTIVES_MAX} directives")));
            }
            if name == "location" {
                tree.locations += 1;
                if tree.locations > LOCATIONS_MAX {
                    return Err(error(format!("the includes result in more than {LOCATIONS_MAX} locations")));
                }
            }
            tree.entries.push(Entry {
                statement: Some(statement),
                file: &file.path,
                parent,
                ..Entry::default()
            });
            if let Some(entry) = tree.entries.get_mut(parent) {
                entry.children.push(id);
                entry.by_name.entry(name).or_default().push(id);
            }
            if let Some(block) = &statement.block {
                self.add_block(tree, id, file, block, depth + 1)?;
            }
        }
        Ok(())
    }

    /// Returns the files of an `include`, in the order in which nginx reads them.
    fn resolve(&self, path: &'t str) -> Vec<&'t ParsedFile> {
        if let Some(known) = self.resolved.borrow().get(path) {
            return known.clone();
        }
        let full = if path.starts_with('/') { path.to_owned() } else { format!("{}{path}", self.folder) };
        let mut found: Vec<&ParsedFile> =
            self.files.iter().filter(|file| matches_path(&full, &file.path)).collect();
        found.sort_by(|a, b| a.path.cmp(&b.path));
        self.resolved.borrow_mut().insert(path, found.clone());
        found
    }
}

/// A directive in the tree.
#[derive(Clone, Copy)]
pub(super) struct Node<'c> {
    tree: &'c Tree<'c>,
    id: usize,
}

impl PartialEq for Node<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.id == other.id && ptr::eq(self.tree, other.tree)
    }
}

impl<'c> Node<'c> {
    fn entry(self) -> &'c Entry<'c> {
        self.tree.entry(self.id)
    }

    /// Returns the number of the directive in the order of the files.
    pub(super) const fn id(self) -> usize {
        self.id
    }

    /// Returns the words of the directive; none for the root.
    pub(super) fn words(self) -> &'c [String] {
        self.entry().statement.map(|statement| &statement.words[..]).unwrap_or_default()
    }

    pub(super) fn name(self) -> &'c str {
        self.words().first().map(String::as_str).unwrap_or_default()
    }

    /// Returns the arguments.
    pub(super) fn args(self) -> &'c [String] {
        self.words().get(1..).unwrap_or_default()
    }

    /// Returns an argument, or an empty text if there is none.
    pub(super) fn arg(self, at: usize) -> &'c str {
        self.args().get(at).map(String::as_str).unwrap_or_default()
    }

    /// Returns the last argument, or an empty text if there is none.
    pub(super) fn last_arg(self) -> &'c str {
        self.args().last().map(String::as_str).unwrap_or_default()
    }

    pub(super) fn file(self) -> &'c str {
        self.entry().file
    }

    pub(super) fn line(self) -> usize {
        self.entry().statement.map_or(1, |statement| statement.line)
    }

    pub(super) fn is_root(self) -> bool {
        self.id == 0
    }

    pub(super) fn parent(self) -> Node<'c> {
        Node { tree: self.tree, id: self.entry().parent }
    }

    pub(super) fn children(self) -> impl Iterator<Item = Node<'c>> {
        self.entry().children.iter().map(move |id| Node { tree: self.tree, id: *id })
    }

    /// Returns the directives of this name in the block itself.
    pub(super) fn children_named(self, name: &str) -> Vec<Node<'c>> {
        let ids = self.entry().by_name.get(name);
        ids.into_iter().flatten().map(|id| Node { tree: self.tree, id: *id }).collect()
    }

    /// Returns the directive of this name in the block itself; if there are several, the last one.
    pub(super) fn child(self, name: &str) -> Option<Node<'c>> {
        self.children_named(name).pop()
    }

    /// Returns the block itself and the blocks around it, from the inside.
    pub(super) fn levels(self) -> impl Iterator<Item = Node<'c>> {
        let mut next = Some(self);
        std::iter::from_fn(move || {
            let current = next?;
            next = (!current.is_root()).then(|| current.parent());
            Some(current)
        })
    }

    /// Returns the directives of this name that apply in the block: those of the innermost level that has any.
    pub(super) fn effective_all(self, name: &str) -> Vec<Node<'c>> {
        self.levels()
            .map(|level| level.children_named(name))
            .find(|found| !found.is_empty())
            .unwrap_or_default()
    }

    /// Returns the directive of this name that applies in the block.
    pub(super) fn effective(self, name: &str) -> Option<Node<'c>> {
        self.effective_all(name).pop()
    }

    /// Returns the first argument of the directive that applies in the block, or an empty text.
    pub(super) fn effective_arg(self, name: &str) -> &'c str {
        self.effective(name).map(|node| node.arg(0)).unwrap_or_default()
    }

    /// Returns every directive of this name inside the block.
    pub(super) fn descendants(self, name: &str) -> Vec<Node<'c>> {
        let mut found = Vec::new();
        let mut blocks: Vec<Node<'c>> = vec![self];
        while let Some(block) = blocks.pop() {
            found.extend(block.children_named(name));
            blocks.extend(block.children().filter(|child| !child.entry().children.is_empty()));
        }
        found.sort_by_key(|node| node.id);
        found
    }
}
