"""Trains, tunes and exports the networks that Foldnet's converter quantizes."""
