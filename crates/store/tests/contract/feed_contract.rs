//! Contract of every change feed and every table of consumers. `contract` must be a module of the same
//! crate.

pub(crate) mod consumers;
pub(crate) mod feed;

/// Generates a test for each case. `$open` returns a store, its feed, its table of consumers, and a guard
/// that must live as long.
macro_rules! feed_contract {
    ($open:path) => {
        mod feed {
            crate::feed_contract::feed_contract!(@feed $open,
                every_event_is_in_the_feed_once_and_in_order
                a_record_follows_every_tip_that_was_taken_before
                page_starts_where_the_previous_one_ended
                appends_to_many_rooms_are_all_there
                marks_memberships_and_profiles_are_in_the_feed
                refused_commands_append_no_events
                waiting_ends_once_something_follows
                a_position_of_another_store_is_not_read_from
                rooms_are_walked_each_once
            );
        }
        mod consumers {
            crate::feed_contract::feed_contract!(@consumers $open,
                a_consumer_is_read_as_it_was_written
                consumers_are_listed_without_their_rooms
                pending_rooms_are_paged
                a_row_is_replaced_and_others_stay
                a_removed_consumer_leaves_nothing_and_others_stay
            );
        }
    };
    (@feed $open:path, $($case:ident)*) => {
        $(#[tokio::test]
        async fn $case() {
            let (store, feed, _, _open) = $open().await;
            crate::feed_contract::feed::$case((store, feed)).await;
        })*
    };
    (@consumers $open:path, $($case:ident)*) => {
        $(#[tokio::test]
        async fn $case() {
            let (_, _, table, _open) = $open().await;
            crate::feed_contract::consumers::$case(table).await;
        })*
    };
}
pub(crate) use feed_contract;
