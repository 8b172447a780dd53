-- Removes what 0002_subscriptions.sql has made, and nothing else.

DROP FUNCTION
    ordain.take_subscriptions_lock_1,
    ordain.change_subscriptions_1,
    ordain.remove_subscription_1,
    ordain.keep_alive_1,
    ordain.release_1,
    ordain.commit_progress_1,
    ordain.prune_instances_1,
    ordain.append_2;

DROP VIEW ordain.subscription_records;

DROP TABLE
    ordain.subscriptions,
    ordain.subscription_partitions,
    ordain.subscription_members,
    ordain.blocks,
    ordain.process_instances,
    ordain.outgoing_commands,
    ordain.timers;
