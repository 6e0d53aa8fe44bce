"""The node's pages for a browser: plain HTML rendered here, no framework, nothing loaded from elsewhere."""
