//! `why`: where a value comes from, who set it, when, and whether it is in force.

use crate::arguments;
use crate::engine::{Output, Session};
use crate::failure::Failure;
use crate::levels::LevelId;
use crate::show;
use openadp_settings::{Apply, Parameter, Role, Shape};
use serde_json::{Map, json};
use time::UtcOffset;
use time::macros::format_description;

impl Session {
    /// `why [level] [key ...] parameter`.
    pub(crate) fn why(&mut self, words: &[String]) -> Result<Output, Failure> {
        let home = self.at;
        let (at, words) = self.level_before(words)?;
        self.at = at;
        let told = self.why_here(words);
        self.at = home;
        told
    }

    /// The level that the first of several words names, if it names one, and the others. What has a `/` is a path, unless it
    /// leads nowhere and is a key of this level; a name alone is one where this level has no keys.
    fn level_before<'a>(&self, words: &'a [String]) -> Result<(LevelId, &'a [String]), Failure> {
        let Some((first, rest)) = words.split_first().filter(|(_, rest)| !rest.is_empty()) else {
            return Ok((self.at, words));
        };
        let here = self.levels.get(self.at).context;
        let keys = here.is_some_and(|context| context.keys().next().is_some());
        let path = first.contains('/');
        if !path && keys {
            return Ok((self.at, words));
        }
        match self.typed_path(first) {
            Ok((at, None)) => Ok((at, rest)),
            Ok((_, Some(_))) | Err(_) if keys || (!path && here.is_some()) => Ok((self.at, words)),
            Ok((_, Some(command))) => {
                Err(Failure::refused("why", &format!("'{command}' is a command and no level")))
            }
            Err(failure) => Err(failure),
        }
    }

    fn why_here(&mut self, words: &[String]) -> Result<Output, Failure> {
        let context = self.levels.get(self.at).context.filter(|context| context.shape != Shape::Actions);
        let context = context.ok_or_else(|| Failure::refused("why", "nothing is set at this level"))?;
        let keys = if context.shape == Shape::Table { context.keys().count() } else { 0 };
        let Some((name, key)) = words.split_last() else {
            let parameter = context.keys().next().or(context.parameters.first());
            return Err(parameter.map_or_else(
                || Failure::refused("why", "nothing is set at this level"),
                |parameter| Failure::missing("why", parameter),
            ));
        };
        if let Some(missing) = context.keys().nth(key.len()).filter(|_| key.len() < keys) {
            return Err(Failure::missing("why", missing).hint("why [level] key ... parameter"));
        }
        if key.len() > keys {
            return Err(Failure::syntax("why", "there is one argument too many"));
        }
        let all: Vec<&'static Parameter> = context.parameters.iter().collect();
        let parameter = arguments::named("why", &all, name)?;
        let failed = |error| Failure::of("why", Some(context), error);
        let snapshot = self.backend.snapshot(context).map_err(failed)?;
        let row = match keys {
            0 => snapshot.rows_of(context).first(),
            _ => show::matching(context, &snapshot, key).first().copied(),
        };
        if keys > 0 && row.is_none() {
            return Err(Failure::refused("why", &format!("Entry not found: {}", key.join(" "))));
        }
        let key: Vec<String> = row
            .map(|row| row.key(context).into_iter().map(str::to_owned).collect())
            .filter(|_| keys > 0)
            .unwrap_or_default();
        let explicit = row.is_some_and(|row| row.explicit(parameter.name).is_some());
        let origin = self.backend.origin(context, &key, parameter.name).map_err(failed)?;
        let from = match (explicit, &origin) {
            (true, Some(_)) => "set here",
            (true, None) => "set here by the fresh installation",
            (false, _) if parameter.default.is_some() => "default of this build",
            (false, _) => "not set",
        };
        let mut facts = vec![(parameter.name, show::shown(parameter, row)), ("from", from.to_owned())];
        // What a level inherits is said by whoever declared it.
        let keys: Vec<&str> = key.iter().map(String::as_str).collect();
        if let Some(remark) = context.remark.and_then(|remark| remark(&snapshot, &keys)) {
            facts.push(("remark", remark));
        }
        if let Some(origin) = &origin {
            let form = format_description!("[year]-[month]-[day] [hour]:[minute]:[second] UTC");
            let time = origin.time.to_offset(UtcOffset::UTC).format(form).unwrap_or_default();
            facts.push((if explicit { "set by" } else { "cleared by" }, origin.author.0.clone()));
            facts.push(("at", time));
            facts.push(("revision", origin.revision.to_string()));
            facts.extend(origin.comment.clone().map(|comment| ("comment", comment)));
        }
        facts.push((
            "in force",
            self.in_force(context, parameter, origin.map_or(0, |origin| origin.revision)),
        ));
        let lines = facts.iter().map(|(name, value)| format!("  {name} = {value}").trim_end().to_owned());
        let lines = lines.collect();
        let json: Map<_, _> =
            facts.iter().skip(1).map(|(name, value)| ((*name).to_owned(), json!(value))).collect();
        let mut json = json!({ "context": context.full_path(), "key": key, "why": json });
        json["parameter"] = json!(parameter.name);
        json["value"] = show::row_json(context, row)[parameter.name].clone();
        let rows = facts.iter().map(|(name, value)| vec![(*name).to_owned(), value.clone()]);
        let names = vec!["name".to_owned(), "value".to_owned()];
        Ok(Output::new(lines, json).table(std::iter::once(names).chain(rows).collect()))
    }

    fn in_force(
        &mut self,
        context: &'static openadp_settings::Context,
        parameter: &Parameter,
        revision: u64,
    ) -> String {
        if parameter.unused.is_some() {
            return "no: not used by this build".to_owned();
        }
        let older = self.backend.older(context, revision);
        match (parameter.apply, older) {
            (_, None) => "once a process runs; none does".to_owned(),
            (Apply::Restart, Some(older)) if !older.is_empty() => {
                format!("no: {} must be restarted", older.join(", "))
            }
            (Apply::NextConnection, Some(_)) if parameter.role != Role::Key => {
                "yes, for connections that began since".to_owned()
            }
            _ => "yes".to_owned(),
        }
    }
}
