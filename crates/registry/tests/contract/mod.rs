//! Contract of every registry. Each case uses its own users and rooms, and goes through
//! the trait only.

pub(crate) mod alone;
pub(crate) mod fleet;

/// Generates a test for each case of `$topic`. `$open` returns the nodes, and a guard
/// that must live as long.
macro_rules! contract {
    ($open:path, $topic:ident { $($case:ident)* }) => {
        $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn $case() {
            let (nodes, _open) = $open().await;
            crate::contract::$topic::$case(&nodes).await;
        })*
    };
    ($open:path, alone) => {
        crate::contract::contract!($open, alone {
            a_user_is_online_until_the_last_session_closes
            sessions_that_come_and_go_at_once_end_in_the_right_state
            a_session_that_never_opened_closes_nothing
            nothing_comes_back_to_the_sender
            rooms_are_followed_and_left
            it_is_connected_and_knows_itself
            notices_are_taken_once
        });
    };
    ($open:path, fleet) => {
        crate::contract::contract!($open, fleet {
            a_user_is_online_wherever_they_are
            publish_to_a_user_reaches_their_nodes_once
            publish_to_a_room_reaches_its_followers
            single_node_is_notified
            node_in_both_roles_receives_twice_and_in_order
            thousands_of_users_are_looked_up
            a_node_that_closes_is_gone_with_its_users
        });
    };
    // Of registries whose nodes share rates.
    ($open:path, rates) => {
        crate::contract::contract!($open, fleet {
            permits_are_shared
        });
    };
}
pub(crate) use contract;
