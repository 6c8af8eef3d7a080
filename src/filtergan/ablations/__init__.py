"""The paper's design claims: what each ablation changes, and the queue that runs them."""
