-- Removes what 0001_initial.sql has made, and nothing else.

DROP TABLE
    ordain.log_head,
    ordain.events,
    ordain.links,
    ordain.erased,
    ordain.erasures,
    ordain.command_outcomes,
    ordain.snapshots,
    ordain.streams;

DROP FUNCTION
    ordain.keep_entries,
    ordain.keep_rows,
    ordain.take_order_lock_1,
    ordain.append_one_1,
    ordain.append_1,
    ordain.fence_1,
    ordain.link_1,
    ordain.delete_1,
    ordain.erase_1,
    ordain.undelete_1,
    ordain.position_at_1;
