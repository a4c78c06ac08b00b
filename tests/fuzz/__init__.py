"""The border under fire: requests of every kind and none, against a server with a real store and a real engine."""
