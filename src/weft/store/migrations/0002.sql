-- What attempts were begun with (docs/decisions/0056).
CREATE TABLE begun (
    run INTEGER NOT NULL,
    task INTEGER NOT NULL,
    instance INTEGER NOT NULL,
    body TEXT NOT NULL,
    PRIMARY KEY (run, task, instance)
) WITHOUT ROWID;
