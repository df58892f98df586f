//! The levels of the two trees, with the ones between the contexts, and how a typed name finds one.

use openadp_settings::{Context, Registry, Tree, nearest};

/// Number of a level in [`Levels`].
pub(crate) type LevelId = usize;

/// One level of a tree.
pub(crate) struct Level {
    pub(crate) tree: Tree,
    /// Its own name; empty for a root.
    pub(crate) name: &'static str,
    pub(crate) parent: Option<LevelId>,
    pub(crate) children: Vec<LevelId>,
    /// Other names of levels below this one.
    aliases: Vec<(&'static str, LevelId)>,
    /// The settings here, if this is a context and not only a level on the way to one.
    pub(crate) context: Option<&'static Context>,
}

/// Both trees.
pub(crate) struct Levels {
    levels: Vec<Level>,
}

/// Why a name leads nowhere.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum NoLevel {
    /// Several levels begin with it.
    Ambiguous(Vec<&'static str>),
    /// None does.
    Unknown,
}

const ADP: LevelId = 0;
const AS: LevelId = 1;

impl Levels {
    /// The levels of all contexts of a registry.
    pub(crate) fn new(registry: &Registry) -> Self {
        let root = |tree| Level {
            tree,
            name: "",
            parent: None,
            children: Vec::new(),
            aliases: Vec::new(),
            context: None,
        };
        let mut this = Self { levels: vec![root(Tree::Adp), root(Tree::As)] };
        for context in registry.contexts() {
            let mut at = Self::root(context.tree);
            for segment in context.path.split('/') {
                at = this.child_or_new(at, segment);
            }
            this.levels[at].context = Some(context);
        }
        for context in registry.contexts() {
            for alias in context.aliases {
                this.add_alias(context, alias);
            }
        }
        this
    }

    /// The root of a tree.
    pub(crate) fn root(tree: Tree) -> LevelId {
        match tree {
            Tree::Adp => ADP,
            Tree::As => AS,
        }
    }

    pub(crate) fn get(&self, id: LevelId) -> &Level {
        // Ids come from this struct only, so the fallback is never taken.
        self.levels.get(id).unwrap_or(&self.levels[ADP])
    }

    /// The full path with the root, as the prompt shows it.
    pub(crate) fn path(&self, id: LevelId) -> String {
        let mut names = Vec::new();
        let mut at = Some(id);
        while let Some(level) = at.map(|at| self.get(at)) {
            names.push(if level.parent.is_some() { level.name } else { level.tree.root() });
            at = level.parent;
        }
        names.reverse();
        names.join("/")
    }

    /// The level below `from` with exactly this name or alias.
    pub(crate) fn exact(&self, from: LevelId, name: &str) -> Option<LevelId> {
        let level = self.get(from);
        let named = |id: &&LevelId| self.get(**id).name.eq_ignore_ascii_case(name);
        let alias =
            || level.aliases.iter().find(|(alias, _)| alias.eq_ignore_ascii_case(name)).map(|(_, id)| *id);
        level.children.iter().find(named).copied().or_else(alias)
    }

    /// The levels below `from` whose name begins with this.
    pub(crate) fn beginning(&self, from: LevelId, prefix: &str) -> Vec<LevelId> {
        let begins = |id: &&LevelId| starts_with(self.get(**id).name, prefix);
        self.get(from).children.iter().filter(begins).copied().collect()
    }

    /// One step: by exact name, then by unambiguous prefix; `..` is up and `.` is here.
    pub(crate) fn step(&self, from: LevelId, name: &str) -> Result<LevelId, NoLevel> {
        match name {
            "" | "." => return Ok(from),
            ".." => return Ok(self.get(from).parent.unwrap_or(from)),
            _ => {}
        }
        if let Some(id) = self.exact(from, name) {
            return Ok(id);
        }
        match self.beginning(from, name).as_slice() {
            [] => Err(NoLevel::Unknown),
            [one] => Ok(*one),
            many => Err(NoLevel::Ambiguous(many.iter().map(|id| self.get(*id).name).collect())),
        }
    }

    /// Several steps.
    pub(crate) fn walk<'a>(
        &self,
        from: LevelId,
        names: impl IntoIterator<Item = &'a str>,
    ) -> Result<LevelId, NoLevel> {
        names.into_iter().try_fold(from, |at, name| self.step(at, name))
    }

    /// The name nearest to a mistyped one below `from`.
    pub(crate) fn nearest(&self, from: LevelId, name: &str) -> Option<&'static str> {
        nearest(name, self.get(from).children.iter().map(|id| self.get(*id).name))
    }

    fn child_or_new(&mut self, parent: LevelId, name: &'static str) -> LevelId {
        let known = self.levels[parent].children.iter().copied();
        if let Some(id) = known.into_iter().find(|id| self.levels[*id].name.eq_ignore_ascii_case(name)) {
            return id;
        }
        let id = self.levels.len();
        let tree = self.levels[parent].tree;
        self.levels.push(Level {
            tree,
            name,
            parent: Some(parent),
            children: Vec::new(),
            aliases: Vec::new(),
            context: None,
        });
        self.levels[parent].children.push(id);
        id
    }

    /// Whole paths that mean a context give another name to the level where they differ from its own path:
    /// `A/Old/C` for `A/New/C` makes `Old` mean `New` below `A`, `A/XY/C` for `A/X/Y/C` makes `XY` mean `X/Y`, and
    /// `M/N/O` for `X/Y/Z` makes `O` below `M/N` mean `X/Y/Z`, with what is below it.
    fn add_alias(&mut self, context: &'static Context, alias: &'static str) {
        let own: Vec<&str> = context.path.split('/').collect();
        // A place in the other tree is a level of its own there, with the same context.
        let other = match context.tree {
            Tree::Adp => Tree::As,
            Tree::As => Tree::Adp,
        };
        if let Some(path) = alias.strip_prefix(other.root()).and_then(|rest| rest.strip_prefix('/')) {
            let at = path.split('/').fold(Self::root(other), |at, segment| self.child_or_new(at, segment));
            self.levels[at].context.get_or_insert(context);
            return;
        }
        let root = context.tree.root();
        let alias = alias.strip_prefix(root).map_or(alias, |rest| rest.trim_start_matches('/'));
        let other: Vec<&'static str> = alias.split('/').collect();
        let same = |(a, b): &(&&str, &&str)| a.eq_ignore_ascii_case(b);
        let most = own.len().min(other.len());
        let front = own.iter().zip(&other).take_while(same).count().min(most);
        let back = own.iter().rev().zip(other.iter().rev()).take_while(same).count().min(most - front);
        let from = Self::root(context.tree);
        if let [name] = other[front..other.len() - back]
            && let Ok(parent) = self.walk(from, own[..front].iter().copied())
            && let Ok(target) = self.walk(from, own[..own.len() - back].iter().copied())
            && self.exact(parent, name).is_none()
        {
            self.levels[parent].aliases.push((name, target));
            return;
        }
        // A context that moved altogether: the last name of the alias, if the levels above it are there.
        if let Some((name, above)) = other.split_last()
            && let Ok(parent) = self.walk(from, above.iter().copied())
            && let Ok(target) = self.walk(from, own)
            && self.exact(parent, name).is_none()
        {
            self.levels[parent].aliases.push((name, target));
        }
    }
}

/// Whether a name begins with this, without regard to case.
pub(crate) fn starts_with(name: &str, prefix: &str) -> bool {
    name.get(..prefix.len()).is_some_and(|start| start.eq_ignore_ascii_case(prefix))
}
