INSERT INTO streams (key, name, category, created_at, holds_links) VALUES
