"""What the modules share: widgets, and the installation of what they run on. Import from its files."""
