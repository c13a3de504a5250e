"""Run: from what a user asks for to MONAI's command, its folder, and what came of it."""
