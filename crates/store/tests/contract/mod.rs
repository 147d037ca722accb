//! Contract of every store. Each case gets a store that may be shared, uses its own
//! rooms and users only, and goes through the trait only.

#[path = "../support/fixture.rs"]
pub(crate) mod fixture;

pub(crate) mod blocks;
pub(crate) mod cursors;
pub(crate) mod directory;
pub(crate) mod identity;
pub(crate) mod invitations;
pub(crate) mod later;
pub(crate) mod log;
pub(crate) mod members;
pub(crate) mod reads;
pub(crate) mod reports;
pub(crate) mod users;

/// Generates a test for each case. `$open` returns a store, and a guard that must
/// live as long.
macro_rules! contract {
    ($open:path) => {
        crate::contract::contract!(@cases $open,
            blocks {
                blocks_are_set_and_lifted
                concurrent_blocks_are_all_kept
                blocks_are_in_no_list_of_rooms_or_members
            }
            directory {
                listed_channels_are_paged_by_title
                a_row_of_the_directory_follows_its_room
                the_directory_is_in_no_list_of_rooms_or_members
            }
            identity {
                a_store_has_one_identity
                a_store_has_one_key_of_room_ids
                a_note_replaces_the_one_before
            }
            invitations {
                invitations_are_written_with_their_events
                invitations_of_a_creation_are_stored
                rooms_that_a_user_was_invited_to_are_paged_by_id
                a_forgotten_room_stays_if_the_user_was_invited_again
                invitations_are_in_no_list_of_rooms_or_members
                links_and_requests_are_stored_with_the_invitations
            }
            log {
                a_room_is_created_once
                of_16_creations_one_is_new
                an_append_moves_the_head
                a_chunk_keeps_the_nonce_of_its_predecessor
                an_append_on_an_old_head_is_refused
                of_32_appends_on_one_head_one_wins
                a_log_begins_with_its_creation_only
                a_chunk_is_found_by_its_first_seq
                chunks_follow_on_a_head
                events_before_a_seq_come_in_whole_chunks
                settings_change_with_their_chunk
                imported_messages_are_counted_for_good
                a_refused_append_leaves_nothing
                rooms_are_written_side_by_side
                a_room_that_is_not_there_is_empty
            }
            reads {
                a_range_is_read_from_either_end
                a_read_within_bytes_ends_early_or_not
                ranges_cut_chunks_of_many_events
                nothing_is_read_outside_the_log
                an_edited_message_reads_as_it_is_now
                deleted_text_is_gone_from_message_and_edits
                reactions_are_read_with_their_message
                deleted_messages_of_a_range_are_counted
            }
            reports {
                a_report_is_made_once
                a_message_has_one_open_report_of_a_reporter
                reports_are_listed_latest_first
                a_report_leaves_a_list_for_another
                of_concurrent_answers_one_is_kept
                reports_are_in_no_list_of_rooms_or_members
            }
            later {
                unknown_events_are_read_as_they_were_written
                unknown_fields_of_a_message_last_until_it_is_deleted
                a_deleted_event_of_an_unknown_kind_is_empty
            }
            cursors {
                joining_starts_at_the_join
                sending_reads_up_to_ones_own_message
                what_was_imported_is_read_by_nobody
                one_append_may_join_and_send
                cursors_never_move_back
                concurrent_advances_end_at_the_furthest
                user_who_never_joined_has_no_cursors
                a_hidden_room_comes_back_with_the_next_message
                a_hidden_room_comes_back_with_the_next_membership
                preferences_are_changed_apart_and_end_with_the_membership
            }
            members {
                membership_is_kept_by_interval
                a_role_is_kept_with_the_member
                bans_and_mutes_are_kept_with_their_ends
                data_of_a_member_ends_with_the_membership
                slow_mode_is_a_setting
                members_are_paged_by_id
                members_are_read_by_id
                rooms_of_a_user_are_paged_by_id
                one_room_of_a_user
                several_rooms_are_read_in_their_order
            }
            users {
                a_user_is_created_once
                of_16_creations_one_is_new
                a_name_is_changed
                users_are_paged_each_once
                users_are_read_together
                users_are_found_by_the_beginning_of_their_name
                users_are_found_by_their_present_name_while_they_are_active
                deleted_users_stay_and_are_not_changed
            }
        );
    };
    (@cases $open:path, $($topic:ident { $($case:ident)* })*) => {
        $(mod $topic {
            $(#[tokio::test]
            async fn $case() {
                let (store, _open) = $open().await;
                crate::contract::$topic::$case(store).await;
            })*
        })*
    };
}
pub(crate) use contract;
