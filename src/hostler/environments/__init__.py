"""Where agents work: providers that make environments, the machine inside one, its supervisor, egress and content."""
