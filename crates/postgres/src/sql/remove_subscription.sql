SELECT ordain.remove_subscription_1($1, $2) AS removed;
