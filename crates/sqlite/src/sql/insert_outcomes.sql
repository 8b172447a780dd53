INSERT INTO command_outcomes (stream, command_id, data, recorded_at) VALUES
