# Helper scripts.
