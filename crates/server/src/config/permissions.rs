//! The default permissions of rooms: `channel.post=admin`.

use anyhow::{Context, bail, ensure};
use parlance_core::{DefaultPermissions, Permissions, Role};

const ROLES: [(&str, Role); 3] = [("member", Role::Member), ("admin", Role::Admin), ("owner", Role::Owner)];

/// The permissions by the names that they have in the contract.
fn named(permissions: &mut Permissions) -> [(&'static str, &mut Option<Role>); 6] {
    let Permissions { post, react, invite, edit, delete, mention_all } = permissions;
    [
        ("post", post),
        ("react", react),
        ("invite", invite),
        ("edit_settings", edit),
        ("delete_messages", delete),
        ("mention_all", mention_all),
    ]
}

/// Parses a list of defaults; each names another permission.
pub(super) fn parse(given: &[String]) -> anyhow::Result<DefaultPermissions> {
    let mut defaults = DefaultPermissions::default();
    for one in given.iter().map(|one| one.trim()).filter(|one| !one.is_empty()) {
        set(&mut defaults, one).with_context(|| format!("default-permissions: {one:?}"))?;
    }
    Ok(defaults)
}

fn set(defaults: &mut DefaultPermissions, one: &str) -> anyhow::Result<()> {
    let (of, role) = one.split_once('=').context("must be KIND.PERMISSION=ROLE")?;
    let (kind, name) = of.split_once('.').context("must be KIND.PERMISSION=ROLE")?;
    let permissions = match kind {
        "group" => &mut defaults.group,
        "channel" => &mut defaults.channel,
        _ => bail!("the kind must be group or channel"),
    };
    let permission =
        named(permissions).into_iter().find(|(of, _)| *of == name).map(|(_, permission)| permission);
    let permission = permission.context(
        "the permission must be post, react, invite, edit_settings, delete_messages or mention_all",
    )?;
    let role = ROLES.iter().find(|(of, _)| *of == role).map(|(_, role)| *role);
    let role = role.context("the role must be member, admin or owner")?;
    ensure!(permission.replace(role).is_none(), "is given twice");
    Ok(())
}

/// What [`parse`] reads.
pub(super) fn names(mut defaults: DefaultPermissions) -> Vec<String> {
    let mut names = Vec::new();
    for (kind, permissions) in [("group", &mut defaults.group), ("channel", &mut defaults.channel)] {
        for (name, permission) in named(permissions) {
            let role = ROLES.iter().find(|(_, role)| Some(*role) == *permission);
            names.extend(role.map(|(role, _)| format!("{kind}.{name}={role}")));
        }
    }
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(given: &[&str]) -> Vec<String> {
        given.iter().map(|one| (*one).to_owned()).collect()
    }

    #[test]
    fn defaults_are_read_by_kind() {
        let given = list(&[
            "channel.post=admin",
            " group.invite=member ",
            "",
            "group.delete_messages=owner",
            "group.mention_all=member",
        ]);
        let defaults = parse(&given).unwrap();
        let group = Permissions {
            invite: Some(Role::Member),
            delete: Some(Role::Owner),
            mention_all: Some(Role::Member),
            ..Permissions::default()
        };
        let channel = Permissions { post: Some(Role::Admin), ..Permissions::default() };
        assert_eq!(defaults, DefaultPermissions { group, channel });
        assert_eq!(parse(&names(defaults)).unwrap(), defaults);
        assert_eq!(parse(&[]).unwrap(), DefaultPermissions::default());
    }

    #[test]
    fn anything_else_is_refused() {
        for wrong in [
            "post=admin",
            "channel.post",
            "direct.post=admin",
            "channel.posts=admin",
            "channel.post=everyone",
            "channel.edit=admin",
            "channel.post=",
            "channel.post = admin",
        ] {
            assert!(parse(&list(&[wrong])).is_err(), "{wrong}");
        }
        let twice = parse(&list(&["channel.post=admin", "channel.post=owner"])).unwrap_err();
        assert_eq!(format!("{twice:#}"), "default-permissions: \"channel.post=owner\": is given twice");
    }
}
