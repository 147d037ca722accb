//! Profiles that follow the name and the picture in the tokens of their users.

use std::sync::Arc;

use parlance_core::{Caller, ClaimedProfile, Clock, Data, Name, Timestamp, UserId};
use parlance_runtime::own_task::run_to_end;
use parlance_store::{Store, StoreError, UpdateError, User, UserChange, UserState};
use tokio_util::task::TaskTracker;

use crate::Error;

/// Called with a user whose profile has changed.
pub(crate) type Changed = Arc<dyn Fn(&UserId) + Send + Sync>;

/// Writes what tokens say to the profiles of their users.
pub(crate) struct ProfileClaims {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) tasks: TaskTracker,
    pub(crate) changed: Changed,
}

impl ProfileClaims {
    /// Creates the profile of `caller`, or changes the one that was found.
    pub(crate) async fn follow(&self, found: Option<User>, caller: &Caller) -> Result<(), Error> {
        let now = self.clock.now();
        let Some(user) = found else {
            self.store.create_user(first_profile(caller, now)?).await?;
            return Ok(());
        };
        let Some(change) = change_of(&user, caller) else { return Ok(()) };
        let (store, changed, id) = (self.store.clone(), self.changed.clone(), user.id);
        let renaming = async move {
            let updated = match store.update_user(&id, change, now).await {
                Ok(updated) => updated,
                Err(UpdateError::Store(error)) => return Err(error),
                // Data is not changed.
                Err(UpdateError::DataTooLarge(_)) => None,
            };
            if updated.is_some() {
                changed(&id);
            }
            Ok::<_, StoreError>(())
        };
        Ok(run_to_end(&self.tasks, renaming).await?)
    }
}

/// The profile of a user who is created by their first call.
pub(crate) fn first_profile(caller: &Caller, now: Timestamp) -> Result<User, Error> {
    let ClaimedProfile { name, image } = caller.profile.as_deref().cloned().unwrap_or_default();
    let name = match name {
        Some(name) => name,
        None => Name::parse_new(caller.user.as_str())
            .map_err(|error| Error::Field("name".to_owned(), error.to_string()))?,
    };
    Ok(User {
        id: caller.user.clone(),
        name,
        image: image.unwrap_or_default(),
        data: Data::default(),
        created_at: now,
        updated_at: now,
        state: UserState::Active,
    })
}

/// What the token of `caller` changes in their profile: nothing in one that was changed after the token was issued, by
/// whomever. So an old token that is still in use does not undo what a newer one has brought.
fn change_of(user: &User, caller: &Caller) -> Option<UserChange> {
    let claimed = caller.profile.as_deref()?;
    let is_later = caller.issued_at.is_some_and(|issued| issued >= user.updated_at.0 / 1_000);
    // As created without a name, for example by the app's backend a moment after the token was issued.
    let is_unset = user.updated_at == user.created_at
        && user.name.as_str() == user.id.as_str()
        && user.image.as_str().is_empty();
    if user.state != UserState::Active || !(is_later || is_unset) {
        return None;
    }
    let change = UserChange {
        name: claimed.name.clone().filter(|name| *name != user.name),
        image: claimed.image.clone().filter(|image| *image != user.image),
        ..UserChange::default()
    };
    (!change.is_empty()).then_some(change)
}

#[cfg(test)]
mod tests {
    use parlance_core::ImageUrl;

    use super::*;
    use crate::testing::user_caller;

    /// Alice with this token.
    fn caller(issued_at: Option<u64>, name: &str, image: Option<&str>) -> Caller {
        let name = Some(name).filter(|name| !name.is_empty()).map(|name| Name::parse_new(name).unwrap());
        let image = image.map(|url| ImageUrl::parse_new(url).unwrap());
        let profile = Some(Arc::new(ClaimedProfile { name, image }));
        Caller { issued_at, profile, ..user_caller("alice") }
    }

    /// Alice with this name, who was created at 100 and changed at `updated` seconds.
    fn user(name: &str, updated: u64) -> User {
        let (created_at, updated_at) = (Timestamp(100_000), Timestamp(updated * 1_000 + 500));
        let name = Name::parse_new(name).unwrap();
        User { name, created_at, updated_at, ..first_profile(&user_caller("alice"), created_at).unwrap() }
    }

    fn renamed(user: &User, caller: &Caller) -> Option<String> {
        change_of(user, caller).and_then(|change| change.name).map(|name| name.as_str().to_owned())
    }

    #[test]
    fn later_tokens_change_the_profile_and_earlier_ones_do_not() {
        let alice = user("Alice", 200);
        assert_eq!(renamed(&alice, &caller(Some(300), "Alicia", None)), Some("Alicia".to_owned()));
        assert_eq!(renamed(&alice, &caller(Some(200), "Alicia", None)), Some("Alicia".to_owned()));
        assert_eq!(renamed(&alice, &caller(Some(199), "Alicia", None)), None, "changed after it was issued");
        assert_eq!(renamed(&alice, &caller(None, "Alicia", None)), None, "it may be an old one");
        assert_eq!(change_of(&alice, &user_caller("alice")), None);
        let gone = User { state: UserState::Deactivated, ..alice };
        assert_eq!(change_of(&gone, &caller(Some(300), "Alicia", None)), None);
    }

    #[test]
    fn only_what_differs_is_written() {
        let alice = user("Alice", 200);
        assert_eq!(change_of(&alice, &caller(Some(300), "Alice", None)), None);
        assert_eq!(change_of(&alice, &caller(Some(300), "Alice", Some(""))), None);
        let picture = "https://id.example/alice.png";
        let change = change_of(&alice, &caller(Some(300), "", Some(picture))).unwrap();
        assert_eq!((change.name, change.image), (None, Some(ImageUrl::parse_new(picture).unwrap())));
        let shown = User { image: ImageUrl::parse_new(picture).unwrap(), ..alice };
        let change = change_of(&shown, &caller(Some(300), "Alice", Some(""))).unwrap();
        assert_eq!((change.name, change.image), (None, Some(ImageUrl::default())), "an empty one removes it");
    }

    #[test]
    fn profile_that_nobody_has_filled_in_takes_any_token() {
        let mut alice = user("alice", 100);
        alice.updated_at = alice.created_at;
        assert_eq!(renamed(&alice, &caller(Some(50), "Alice", None)), Some("Alice".to_owned()));
        assert_eq!(renamed(&alice, &caller(None, "Alice", None)), Some("Alice".to_owned()));
        let named = User { name: Name::parse_new("Ms. A").unwrap(), ..alice };
        assert_eq!(renamed(&named, &caller(Some(50), "Alice", None)), None);
    }

    #[test]
    fn first_profile_is_the_one_of_the_token() {
        let profile =
            first_profile(&caller(None, "Alice", Some("https://a.example/a")), Timestamp(5)).unwrap();
        assert_eq!((profile.name.as_str(), profile.image.as_str()), ("Alice", "https://a.example/a"));
        assert_eq!(first_profile(&user_caller("alice"), Timestamp(5)).unwrap().name.as_str(), "alice");
    }
}
