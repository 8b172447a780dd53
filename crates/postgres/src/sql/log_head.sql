SELECT h.identity, h.generation, h.payload, h.codec, h.created_by, h.created_at,
       greatest((SELECT max(e.global_position) FROM ordain.events AS e), h.floor)
FROM ordain.log_head AS h WHERE h.id = 1;
