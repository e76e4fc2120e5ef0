"""E-mail: messages as documents, their attachments as documents of their own."""
