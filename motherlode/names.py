"""Every table, column, view and service name, once.

A name here is the field's standard term. Rooms import the constant; nobody spells the string again.
"""

from typing import Final

PROJECT: Final = "motherlode"

# Keys and times, the same in every layer.
CUSTOMER_ID: Final = "customer_id"
"""The customer join key: a string in every layer (see `motherlode.identity`)."""
ITEM_ID: Final = "item_id"
"""An item's key: a string in every layer."""
OUTSIDE_ID: Final = "outside_id"
"""An item's id as the company has it, integer or string; in `items` alone."""
EVENT_TIMESTAMP: Final = "event_timestamp"
CREATED_TIMESTAMP: Final = "created_timestamp"

# Canonical tables (see DESIGN: a project maps the company's columns onto them).
TRANSACTIONS: Final = "transactions"
CUSTOMERS: Final = "customers"
ITEMS: Final = "items"
CAMPAIGNS: Final = "campaigns"
CONTACTS: Final = "contacts"
RESPONSES: Final = "responses"
INTERACTIONS: Final = "interactions"
FEEDBACK: Final = "feedback"
SESSIONS: Final = "sessions"
"""Derived from `interactions`; no mapping writes it."""

# Columns of `transactions`: one row a purchase line.
BASKET_ID: Final = "basket_id"
LINE_ID: Final = "line_id"
"""A line's number or id within its basket, where the company has one."""
CHANNEL: Final = "channel"
"""Where a sale, a contact, an event or a note took place: `web`, `store`, `phone`, ..., in the company's words."""
STORE_ID: Final = "store_id"
QUANTITY: Final = "quantity"
AMOUNT: Final = "amount"
"""Money the shop takes for the line, after its own discounts; a manufacturer's coupon is not taken off."""
RETAIL_DISCOUNT: Final = "retail_discount"
"""Money taken off by the shop's own price cut; never negative."""
COUPON_DISCOUNT: Final = "coupon_discount"
"""Money taken off by coupons, the manufacturer's and the shop's match; never negative."""
LOCAL_TIMESTAMP: Final = "local_timestamp"
"""What the clock on the shop's wall showed at `event_timestamp`: no zone; for hours and weekdays alone."""

# Columns of `customers`.
REGISTERED_AT: Final = "registered_at"
CONSENT: Final = "consent_"
"""Prefix: `consent_marketing` is whether the customer agreed to that purpose; null where never asked."""

# Columns of `items`.
ITEM_NAME: Final = "item_name"
DEPARTMENT: Final = "department"
CATEGORY: Final = "category"
BRAND: Final = "brand"
PRIVATE_LABEL: Final = "private_label"
"""Whether the shop has it made for itself; null where nobody says."""

PRICE: Final = "price"
"""Of one piece: a company's own column, by which recommendations are filtered."""
STOCK: Final = "stock"
"""Pieces on hand, or whether there are any: a company's own column too."""

# Columns of `campaigns`, `contacts` and `responses`.
CAMPAIGN_ID: Final = "campaign_id"
CAMPAIGN_TYPE: Final = "campaign_type"
STARTED_AT: Final = "started_at"
ENDED_AT: Final = "ended_at"
COUPON_ID: Final = "coupon_id"
"""The coupon that was redeemed; one response each."""

# Columns of `interactions` and `sessions`.
VISITOR_ID: Final = "visitor_id"
"""A device or cookie, by its pseudonym; known where the customer is not."""
SESSION_ID: Final = "session_id"
EVENT_TYPE: Final = "event_type"
"""`view`, `search`, `cart`, `purchase`, `click`, ..., in the company's words but for these five."""
PAGE: Final = "page"
SEARCH_TERMS: Final = "search_terms"
REFERRER: Final = "referrer"
EVENTS: Final = "events"
PAGE_VIEWS: Final = "page_views"
SEARCHES: Final = "searches"
CARTS: Final = "carts"
DWELL_SECONDS: Final = "dwell_seconds"
BOUNCED: Final = "bounced"
ENTRY_PAGE: Final = "entry_page"
EXIT_PAGE: Final = "exit_page"

# Columns of `feedback`.
FEEDBACK_ID: Final = "feedback_id"
RATING: Final = "rating"
TEXT: Final = "text"
LANGUAGE: Final = "language"
"""`en`, `zh`, ... (ISO 639-1)."""
SENTIMENT: Final = "sentiment"
"""-1 (bad) to 1 (good); null where there is no text, or none in a language that has a scorer."""

# Columns of `tags`.
TAG: Final = "tag"
"""A label, in the words of who gave it: `vip`, `price_hunter`."""
ORIGIN: Final = "origin"
"""Who gave a label: one of `ORIGINS`."""
CONFIDENCE: Final = "confidence"
LABEL_VERSION: Final = "version"
"""Of the rule, the model or the list that a label comes from."""

PERSON: Final = "person"
MODEL: Final = "model"
RULE: Final = "rule"
ORIGINS: Final = (PERSON, MODEL, RULE)
"""Of labels, the one whose word counts most first."""

# Feature views: snapshots of a customer; the last, of an item.
RFM: Final = "rfm"
SPENDING: Final = "spending"
PRICE_SENSITIVITY: Final = "price_sensitivity"
AFFINITY: Final = "affinity"
CAMPAIGN_HISTORY: Final = "campaign_history"
HISTORY: Final = "history"
PURCHASES: Final = "purchases"
LIFECYCLE: Final = "lifecycle"
CHANNELS: Final = "channels"
WEB: Final = "web"
INTERESTS: Final = "interests"
DEMOGRAPHICS: Final = "demographics"
CONSENT_VIEW: Final = "consent"
OPINIONS: Final = "opinions"
"""Sentiment and ratings of a customer's feedback."""
RELATIONS: Final = "relations"
TAGS: Final = "tags"
"""The view of a customer's labels, and the table of those that people and outside models gave."""
ITEM_STATISTICS: Final = "item_statistics"
"""Snapshots of an item."""
ITEM_NEIGHBOURS: Final = "item_neighbours"
"""What is bought together with an item; the latest snapshot alone."""
LIVE: Final = "live"
"""What a customer did up to this moment: written by `motherlode stream`, an event at a time, never by a build."""

# Feature services.
SCORING: Final = "scoring"
RECOMMENDATION: Final = "recommendation"
PORTRAIT: Final = "portrait"
"""Every view of a customer: what an application may show of one."""

# Columns of a label frame, beside the customer and `event_timestamp`.
LABEL: Final = "label"
"""What is predicted."""
LABEL_START: Final = "label_start"
"""When the window that the label is measured over starts."""
LABEL_END: Final = "label_end"
"""When it ends; the window is [label_start, label_end)."""

# Models of a bundle.
SEGMENTS: Final = "segments"
RESPONSE: Final = "response"
INACTIVE_28D: Final = "inactive_28d"
USER_TOWER: Final = "user_tower"
