"""Result files: landed whole in an object store, or not at all."""
