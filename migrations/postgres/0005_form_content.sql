-- A form's once-token stands for one content: sent again with another, it is refused. What was sent before this version has
-- none on record and counts as other content.
ALTER TABLE form_tokens ADD COLUMN content TEXT NOT NULL DEFAULT '';
